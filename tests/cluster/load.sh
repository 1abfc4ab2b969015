#!/bin/bash
# Loads images into the cluster.
# usage: [DIR=...] load.sh IMAGE.tar...
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/state.sh"
for image in "$@"; do
  if [ -e "$dir/kind" ]; then
    read -r _ name <"$dir/kind"
    kind load image-archive --name "$name" "$image"
  else
    "$here/in.sh" ctr -n k8s.io images import - <"$image"
  fi
done
