#!/bin/bash
# Runs a command on the node, for example: in.sh ps
# usage: [DIR=...] in.sh COMMAND...
set -euo pipefail
. "$(dirname "$(realpath "$0")")/state.sh"
if [ -e "$dir/kind" ]; then
  read -r engine name <"$dir/kind"
  exec "$engine" exec -i "$name-control-plane" "$@"
fi
read -r pid _ <"$dir/pid"
exec nsenter --mount="/proc/$pid/ns/mnt" --net="/proc/$pid/ns/net" --pid="/proc/$pid/ns/pid_for_children" "$@"
