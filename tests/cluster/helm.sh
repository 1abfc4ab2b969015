#!/bin/bash
# Prints the path of helm: $HELM, the installed one, or one built from its Go module.
# usage: helm.sh
set -euo pipefail
version=v4.3.1
. "$(dirname "$(realpath "$0")")/state.sh"
if [ -n "${HELM:-}" ]; then echo "$HELM"; exit 0; fi
if command -v helm; then exit 0; fi
built=$(realpath -m "$target/helm/$version/helm")
if [ ! -x "$built" ]; then
  if ! command -v go >/dev/null; then
    echo "helm: neither helm nor go is installed: install one of them" >&2
    exit 1
  fi
  echo "helm: building $version from its Go module into $built; 3 to 6 minutes the first time" >&2
  # A module of its own, because it needs other versions than the module of the tests.
  (cd / && CGO_ENABLED=0 GOTOOLCHAIN=local GOBIN=$(dirname "$built") go install -trimpath -buildvcs=false -ldflags "-s -w" "helm.sh/helm/v4/cmd/helm@$version")
fi
echo "$built"
