#!/bin/bash
# Runs the tests of the image and the chart on a real cluster: one that is brought up for it and taken down, or,
# where KUBECONFIG and LEASEHOLD_E2E_LOAD are both set, that one.
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
# Before the cluster, so that building does not slow it down.
tests=(${CARGO:-cargo} test --quiet --locked --all-features --test cluster)
"${tests[@]}" --no-run
${CARGO:-cargo} build --quiet --locked --all-features --example conformance --example controller
export LEASEHOLD_E2E_PROGRAMS=$target/image
for program in conformance controller; do
  strip -o "$target/image/$program" "$target/debug/examples/$program"
  image/archive.sh "localhost/leasehold-$program:1" "$target/image/$program" "$target/image/$program.tar"
done
# The same image, as an earlier version of the chart would name it.
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
  # The node's own; with kind, the one that is in the path.
  if [ -z "${KUBECTL:-}" ] && [ -e "$DIR/bin/cluster" ]; then export KUBECTL="$DIR/bin/cluster kubectl"; fi
  export KUBECONFIG=$DIR/kubeconfig LEASEHOLD_E2E_LOAD=$here/load.sh LEASEHOLD_E2E_NODE=$here/in.sh
elif [ -z "${KUBECONFIG:-}" ]; then
  echo "e2e: LEASEHOLD_E2E_LOAD is set, so set KUBECONFIG too: which cluster does it load into?" >&2
  exit 2
fi
# One after the other: they measure, and some restart what all of them use.
"${tests[@]}" -- --ignored --test-threads=1 --nocapture "$@"
