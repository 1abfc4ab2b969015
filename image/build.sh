#!/bin/bash
# Builds target/image/leasehold.tar, an OCI archive: the static program on an empty base. Needs no container engine.
# usage: image/build.sh
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target} limit=$((15 << 20))
if [ "$(uname -s)" != Linux ]; then
  echo "image: this script cannot build a Linux binary on $(uname -s): use image/Containerfile with docker or podman" >&2
  exit 1
fi
field() { sed -n "s/^$1 = \"\(.*\)\"/\1/p" Cargo.toml | head -n 1; }
version=$(field version)
revision=$(git describe --always --abbrev=40 --dirty 2>/dev/null || echo unknown)

echo "image: building the program; this takes minutes the first time"
.ci/binary
binary=$target/leasehold
archive=$target/image/leasehold.tar
labels=org.opencontainers.image
image/archive.sh "localhost/leasehold:$version" "$binary" "$archive" \
  "$labels.title=leasehold" "$labels.description=$(field description)" "$labels.licenses=$(field license)" \
  "$labels.version=$version" "$labels.revision=$revision"
size=$(stat -L -c %s "$binary")
if [ "$size" -gt $limit ]; then
  echo "image: $size bytes unpacked are more than the limit of $limit" >&2
  exit 1
fi
echo "image: localhost/leasehold:$version, $(numfmt --to=iec-i --suffix=B "$size") unpacked, $(numfmt --to=iec-i --suffix=B "$(stat -c %s "$archive")") packed"
echo "image: $archive for \`podman load -i\`, \`kind load image-archive\`, \`ctr -n k8s.io images import\`, or tests/cluster/load.sh"
