#!/bin/bash
# Ends the cluster that up.sh started and removes what it made. KEEP=1 leaves the logs in place.
# usage: [DIR=...] down.sh
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/state.sh"
if [ ! -e "$dir" ]; then
  say "none is up"
  exit 0
fi

end_kind() {
  read -r engine name <"$dir/kind"
  if [ "$engine" = podman ]; then export KIND_EXPERIMENTAL_PROVIDER=podman; fi
  kind delete cluster --name "$name" --kubeconfig "$dir/kubeconfig"
}

end_node() {
  read -r pid began name <"$dir/pid"
  # Only the very process that was started: a number can be used again, a number with its start time cannot.
  if [ "$(cut -d' ' -f22 "/proc/$pid/stat" 2>/dev/null)" != "$began" ]; then return; fi
  # The end of its child, the namespace's first process, is the end of every process in there;
  # it ends itself when they are all gone. Mounts, pods' links and rules go with the namespaces.
  first=$(<"/proc/$pid/task/$pid/children")
  kill -KILL ${first:-$pid}
  while [ -e "/proc/$pid" ]; do sleep 0.05; done
  # The network namespace lives on for a minute or two while TCP waits for answers of dead peers.
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
  say "is down, nothing is left of it"
fi
