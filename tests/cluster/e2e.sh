#!/bin/bash
# Runs the tests of the image and the chart on a real cluster: on a new one, which is removed afterwards, or on that of
# KUBECONFIG if LEASEHOLD_E2E_LOAD is set too.
# usage: e2e.sh [NAME_OF_A_TEST...]
set -euo pipefail
here=$(dirname "$(realpath "$0")")
cd "$here/../.."
. "$here/state.sh"
HELM=$("$here/helm.sh")
export HELM
if [ -z "${LEASEHOLD_E2E_IMAGE:-}" ]; then
  image/build.sh
  export LEASEHOLD_E2E_IMAGE=$target/image/leasehold.tar
fi
# Build before the cluster starts, so that building does not slow it down.
tests=(${CARGO:-cargo} test --quiet --locked --all-features --test cluster)
"${tests[@]}" --no-run
${CARGO:-cargo} build --quiet --locked --all-features --example conformance --example controller
export LEASEHOLD_E2E_PROGRAMS=$target/image
for program in conformance controller; do
  strip -o "$target/image/$program" "$target/debug/examples/$program"
  image/archive.sh "localhost/leasehold-$program:1" "$target/image/$program" "$target/image/$program.tar"
done
# The same image with the tag of an earlier version.
rm -rf "$target/image/earlier"
mkdir "$target/image/earlier"
tar -xf "$LEASEHOLD_E2E_IMAGE" -C "$target/image/earlier"
version=$(sed -n 's/^appVersion: //p' charts/leasehold/Chart.yaml)
sed -i "s/${version//./\\.}/0.0.9/g" "$target/image/earlier/index.json"
tar -cf "$target/image/earlier.tar" -C "$target/image/earlier" .
if [ -z "${LEASEHOLD_E2E_LOAD:-}" ]; then
  export DIR=$target/cluster/e2e
  trap '"$here/down.sh"' EXIT
  "$here/up.sh"
  # The kubectl of the node; with kind, the one in the path.
  if [ -z "${KUBECTL:-}" ] && [ -e "$DIR/bin/cluster" ]; then export KUBECTL="$DIR/bin/cluster kubectl"; fi
  export KUBECONFIG=$DIR/kubeconfig LEASEHOLD_E2E_LOAD=$here/load.sh LEASEHOLD_E2E_NODE=$here/in.sh
elif [ -z "${KUBECONFIG:-}" ]; then
  echo "e2e: LEASEHOLD_E2E_LOAD is set, but not KUBECONFIG: set the cluster that images are loaded into" >&2
  exit 2
fi
# One at a time, because the tests measure times, and some restart the API server.
"${tests[@]}" -- --ignored --test-threads=1 --nocapture "$@"
