#!/bin/sh
# Builds the Go package FOLDER beside this into target/FOLDER, when that is missing or older than its
# sources. A call that finds it up to date takes milliseconds.
# usage: build.sh FOLDER [HOW_LONG]     (how long the build takes, for example "6 to 10 minutes")
set -eu

folder=$1
name=$(basename "$folder")
case ${CARGO_TARGET_DIR:-} in
  "") target=$(cd "$(dirname "$0")/.." && pwd)/target ;;
  /*) target=$CARGO_TARGET_DIR ;;
  *) target=$PWD/$CARGO_TARGET_DIR ;;
esac
binary=$target/$folder/$name
cd "$(dirname "$0")"

hash() {
  if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi
}
stamp=$(cat go.mod go.sum build.sh "$folder"/*.go | hash)
if [ -x "$binary" ] && [ "$(cat "$binary.stamp" 2>/dev/null)" = "$stamp" ]; then
  exit 0
fi

wanted=$(awk '$1 == "go" { print $2 }' go.mod)
if ! command -v go >/dev/null; then
  echo "$name: needs Go $wanted or newer (https://go.dev/dl), found no \`go\` in PATH" >&2
  exit 1
fi
export GOTOOLCHAIN=local CGO_ENABLED=0
found=$(cd / && go env GOVERSION)
found=${found#go}
if [ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1)" != "$wanted" ]; then
  echo "$name: needs Go $wanted or newer (https://go.dev/dl), found Go $found" >&2
  exit 1
fi

version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
major=${version#v} major=${major%%.*}
minor=${version#v*.} minor=${minor%%.*}
# Unset, the server would call itself v0.0.0, which clients and charts refuse.
at=k8s.io/component-base/version
if [ -n "${2:-}" ]; then
  echo "$name: building it of Kubernetes $version into $binary; $2 the first time, half a minute once Go's cache is warm"
fi
mkdir -p "$(dirname "$binary")"
trap 'rm -f "$binary.$$"' EXIT
trap 'exit 1' INT TERM HUP
go build -trimpath -buildvcs=false -o "$binary.$$" \
  -ldflags "-s -w -X $at.gitVersion=$version -X $at.gitMajor=$major -X $at.gitMinor=$minor" "./$folder"
rm -f "$binary.stamp"
mv "$binary.$$" "$binary"
echo "$stamp" >"$binary.stamp"
echo "$name: built"
