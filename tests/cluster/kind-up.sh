#!/bin/bash
# Starts a kind cluster. LEASEHOLD_KIND_IMAGE is the image of the node, and so the version of Kubernetes.
# usage: [DIR=...] [NAME=...] kind-up.sh docker|podman
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/state.sh"
engine=$1 name=${NAME:-leasehold}
if kind get clusters 2>/dev/null | grep -qx "$name"; then
  echo "cluster: a kind cluster $name exists, but not from $dir: choose another NAME" >&2
  exit 1
fi
mkdir -p "$dir"
echo "$engine $name" >"$dir/kind"
if [ "$engine" = podman ]; then export KIND_EXPERIMENTAL_PROVIDER=podman; fi
say "starting kind on $engine"
if ! kind create cluster --name "$name" --kubeconfig "$dir/kubeconfig" --wait 180s ${LEASEHOLD_KIND_IMAGE:+--image "$LEASEHOLD_KIND_IMAGE"}; then
  "$here/down.sh"
  exit 1
fi
echo "KUBECONFIG=$dir/kubeconfig"
