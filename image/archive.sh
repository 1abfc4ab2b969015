#!/bin/bash
# Packs one binary as a container image on an empty base, without a container engine. If the binary is not static, its
# libraries are packed too. The result is an OCI archive (a tar of an OCI layout), which `ctr images import`,
# `podman load`, `skopeo` and `kind load image-archive` read. The same input gives the same bytes.
# usage: archive.sh REF BINARY OUT.tar [LABEL=VALUE...]
set -euo pipefail
ref=$1 binary=$(realpath "$2") out=$(realpath -m "$3")
shift 3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
name=$(basename "$binary")
fixed=(--sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 --format=ustar)
mkdir -p root blobs/sha256
install -m 0755 "$binary" "root/$name"
for library in $(ldd "$binary" 2>/dev/null | grep -o '/[^ ]*' || true); do install -D -m 0755 "$library" "root$library"; done

# Moves a file into the layout under the name of its digest, and prints the digest.
blob() { # FILE
  local digest
  digest=$(sha256sum "$1" | cut -d' ' -f1)
  mv "$1" "blobs/sha256/$digest"
  echo "$digest"
}
descriptor() { # DIGEST TYPE
  printf '"mediaType":"application/vnd.oci.image.%s","digest":"sha256:%s","size":%d' "$2" "$1" "$(stat -c %s "blobs/sha256/$1")"
}
labels=
for label in "$@"; do
  value=${label#*=} value=${value//\\/\\\\} value=${value//\"/\\\"}
  labels+="${labels:+,}\"${label%%=*}\":\"$value\""
done

(cd root && tar "${fixed[@]}" -cf ../layer.tar -- *)
plain=$(sha256sum layer.tar | cut -d' ' -f1)
gzip -n -9 layer.tar
layer=$(blob layer.tar.gz)
architecture=$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')
cat > config.json <<JSON
{"architecture":"$architecture","os":"linux","config":{"User":"65532:65532","Entrypoint":["/$name"],"Labels":{$labels}},"rootfs":{"type":"layers","diff_ids":["sha256:$plain"]}}
JSON
config=$(blob config.json)
cat > manifest.json <<JSON
{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{$(descriptor "$config" config.v1+json)},"layers":[{$(descriptor "$layer" layer.v1.tar+gzip)}],"annotations":{$labels}}
JSON
manifest=$(blob manifest.json)
cat > index.json <<JSON
{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{$(descriptor "$manifest" manifest.v1+json),"platform":{"architecture":"$architecture","os":"linux"},"annotations":{"io.containerd.image.name":"$ref","org.opencontainers.image.ref.name":"${ref##*:}"}}]}
JSON
echo '{"imageLayoutVersion":"1.0.0"}' > oci-layout
mkdir -p "$(dirname "$out")"
tar "${fixed[@]}" -cf "$out" oci-layout index.json blobs
