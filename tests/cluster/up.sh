#!/bin/bash
# Starts a one-node cluster and waits until it is ready: a kind cluster if docker or podman runs and kind is installed,
# otherwise the node of node-up.sh. Does nothing if the cluster is up already.
# usage: [DIR=...] [LEASEHOLD_CLUSTER=kind|node] up.sh     the last line is KUBECONFIG=...
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/state.sh"

engine() {
  local engine
  for engine in docker podman; do
    # The client may be installed without a running engine.
    if command -v "$engine" >/dev/null && timeout 10 "$engine" info >/dev/null 2>&1; then echo "$engine"; return; fi
  done
}
running() {
  [ -e "$dir/kubeconfig" ] && "$here/in.sh" true 2>/dev/null
}

if running; then
  say "is up already"
  echo "KUBECONFIG=$dir/kubeconfig"
  exit 0
fi
if [ -e "$dir" ]; then
  say "removing what an earlier one left in $dir"
  "$here/down.sh"
fi
engine=$(engine)
how=${LEASEHOLD_CLUSTER:-}
if [ -z "$how" ]; then
  if [ -n "$engine" ] && command -v kind >/dev/null; then how=kind; else how=node; fi
fi
case $how in
  kind) exec "$here/kind-up.sh" "${engine:?no docker or podman is running}" ;;
  node)
    if [ -n "$engine" ]; then say "$engine runs, but kind is not installed: a node of namespaces instead"; fi
    "$here/node-needs.sh"
    "$here/../build.sh" cluster "10 to 30 minutes"
    exec "$here/node-up.sh"
    ;;
  *) echo "cluster: LEASEHOLD_CLUSTER=$how is neither kind nor node" >&2; exit 2 ;;
esac
