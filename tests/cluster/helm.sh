#!/bin/bash
# Prints the path of a helm: $HELM, the installed one, or one that is built here of its Go module.
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
  echo "helm: building $version of its Go module into $built; 3 to 6 minutes the first time" >&2
  # Not of the module here: it has its own versions of what both need.
  (cd / && CGO_ENABLED=0 GOTOOLCHAIN=local GOBIN=$(dirname "$built") go install -trimpath -buildvcs=false -ldflags "-s -w" "helm.sh/helm/v4/cmd/helm@$version")
fi
echo "$built"
