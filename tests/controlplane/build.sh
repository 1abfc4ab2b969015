#!/bin/sh
# Builds target/controlplane/controlplane (etcd and kube-apiserver in one binary) when it is missing
# or older than the sources here. A call that finds it up to date takes milliseconds.
set -eu

if [ -n "${LEASEHOLD_TEST_KUBECONFIG:-}" ] || [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
  echo "controlplane: not built, LEASEHOLD_TEST_KUBECONFIG or KUBEBUILDER_ASSETS names another"
  exit 0
fi

case ${CARGO_TARGET_DIR:-} in
  "") target=$(cd "$(dirname "$0")/../.." && pwd)/target ;;
  /*) target=$CARGO_TARGET_DIR ;;
  *) target=$PWD/$CARGO_TARGET_DIR ;;
esac
binary=$target/controlplane/controlplane
cd "$(dirname "$0")"

hash() {
  if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi
}
stamp=$(cat go.mod go.sum main.go build.sh | hash)
if [ -x "$binary" ] && [ "$(cat "$binary.stamp" 2>/dev/null)" = "$stamp" ]; then
  exit 0
fi

wanted=$(awk '$1 == "go" { print $2 }' go.mod)
if ! command -v go >/dev/null; then
  echo "controlplane: needs Go $wanted or newer (https://go.dev/dl), found no \`go\` in PATH" >&2
  exit 1
fi
export GOTOOLCHAIN=local CGO_ENABLED=0
found=$(cd / && go env GOVERSION)
found=${found#go}
if [ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1)" != "$wanted" ]; then
  echo "controlplane: needs Go $wanted or newer (https://go.dev/dl), found Go $found" >&2
  exit 1
fi

version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
major=${version#v} major=${major%%.*}
minor=${version#v*.} minor=${minor%%.*}
# Unset, the server would call itself v0.0.0, which clients refuse.
at=k8s.io/component-base/version
echo "controlplane: building kube-apiserver $version and etcd into $binary;" \
  "6 to 10 minutes the first time, half a minute once Go's cache is warm"
mkdir -p "$(dirname "$binary")"
trap 'rm -f "$binary.$$"' EXIT
trap 'exit 1' INT TERM HUP
go build -trimpath -buildvcs=false -o "$binary.$$" \
  -ldflags "-s -w -X $at.gitVersion=$version -X $at.gitMajor=$major -X $at.gitMinor=$minor" .
rm -f "$binary.stamp"
mv "$binary.$$" "$binary"
echo "$stamp" >"$binary.stamp"
echo "controlplane: built"
