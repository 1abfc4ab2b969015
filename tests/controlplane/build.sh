#!/bin/sh
# Builds target/controlplane/controlplane (etcd and kube-apiserver in one binary) unless a variable chooses another
# control plane for the tests.
set -eu

if [ -n "${LEASEHOLD_TEST_KUBECONFIG:-}" ] || [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
  echo "controlplane: not built, because LEASEHOLD_TEST_KUBECONFIG or KUBEBUILDER_ASSETS is set"
  exit 0
fi
exec "$(dirname "$0")/../build.sh" controlplane "6 to 10 minutes"
