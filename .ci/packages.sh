# The packages that are published, for the scripts in this folder; sourced from the top folder of the repository.
# shellcheck shell=bash

# Their folders. The library comes first, because the program depends on it.
folders=(.)
if [ -e cli/Cargo.toml ]; then folders+=(cli); fi

# field NAME FOLDER: prints a field of the package, also where it inherits the field from the workspace.
field() {
  local manifest
  for manifest in "$2/Cargo.toml" Cargo.toml; do
    sed -n "s/^$1 = \"\(.*\)\"/\1/p" "$manifest" | head -n 1 | grep . && return
  done
  return 0
}
