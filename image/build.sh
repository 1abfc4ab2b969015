#!/bin/bash
# Makes target/image/leasehold.tar: the program, static, on an empty base, as an OCI archive. Needs no container engine.
# usage: image/build.sh
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target} limit=$((15 << 20))
triple=$(rustc -vV | sed -n 's/^host: //p')
case $triple in
  *-linux-*) ;;
  *) echo "image: a binary for Linux is not made on $triple here: use image/Containerfile with docker or podman" >&2; exit 1 ;;
esac
field() { sed -n "s/^$1 = \"\(.*\)\"/\1/p" Cargo.toml | head -n 1; }
version=$(field version)
revision=$(git describe --always --abbrev=40 --dirty 2>/dev/null || echo unknown)

echo "image: building the program, static, release; minutes the first time"
# With a target named, the flags are for the program alone, and not for what runs while it is built.
RUSTFLAGS="-C target-feature=+crt-static" ${CARGO:-cargo} build --quiet --locked --release --features cli --bin leasehold --target "$triple"
binary=$target/$triple/release/leasehold
if ldd "$binary" 2>/dev/null | grep -q '=>'; then
  echo "image: $binary is not static: $(ldd "$binary" | head -n 1)" >&2
  exit 1
fi
archive=$target/image/leasehold.tar
labels=org.opencontainers.image
image/archive.sh "localhost/leasehold:$version" "$binary" "$archive" \
  "$labels.title=leasehold" "$labels.description=$(field description)" "$labels.licenses=$(field license)" \
  "$labels.version=$version" "$labels.revision=$revision"
size=$(stat -L -c %s "$binary")
if [ "$size" -gt $limit ]; then
  echo "image: $size bytes unpacked are more than the $limit it may have" >&2
  exit 1
fi
echo "image: localhost/leasehold:$version, $(numfmt --to=iec-i --suffix=B "$size") unpacked, $(numfmt --to=iec-i --suffix=B "$(stat -c %s "$archive")") packed"
echo "image: $archive for \`podman load -i\`, \`kind load image-archive\`, \`ctr -n k8s.io images import\`, or tests/cluster/load.sh"
