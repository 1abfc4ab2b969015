#!/bin/bash
# Removes the cluster that up.sh started. KEEP=1 keeps the logs.
# usage: [DIR=...] down.sh
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/state.sh"
if [ ! -e "$dir" ]; then
  say "no cluster is up"
  exit 0
fi

end_kind() {
  read -r engine name <"$dir/kind"
  if [ "$engine" = podman ]; then export KIND_EXPERIMENTAL_PROVIDER=podman; fi
  kind delete cluster --name "$name" --kubeconfig "$dir/kubeconfig"
}

end_node() {
  read -r pid began name <"$dir/pid"
  # Compare the start time, because another process may have got the same process id.
  if [ "$(cut -d' ' -f22 "/proc/$pid/stat" 2>/dev/null)" != "$began" ]; then return; fi
  # Kill its child, the first process of the namespaces: the kernel then kills every process in them, and the process
  # itself ends. Mounts, links of pods and rules go away with the namespaces.
  first=$(<"/proc/$pid/task/$pid/children")
  kill -KILL ${first:-$pid}
  while [ -e "/proc/$pid" ]; do sleep 0.05; done
  # Remove the link, because the network namespace lives on for one or two minutes while TCP waits for dead peers.
  ip link del "$name" 2>/dev/null || true
}

remove_cgroups() {
  local group failed=0
  while read -r group; do
    for _ in $(seq 100); do
      if [ ! -e "$group" ]; then break; fi
      find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.1
    done
    if [ -e "$group" ]; then
      echo "cluster: could not remove $group" >&2
      failed=1
    fi
  done <"$dir/cgroups"
  return $failed
}

if [ -e "$dir/kind" ]; then end_kind; fi
if [ -e "$dir/pid" ]; then end_node; fi
if [ -e "$dir/cgroups" ]; then remove_cgroups; fi
if [ -z "${KEEP:-}" ]; then
  rm -rf "$dir"
  say "removed"
fi
