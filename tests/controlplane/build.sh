#!/bin/sh
# Builds target/controlplane/controlplane (etcd and kube-apiserver in one binary) unless the tests are
# told to use another.
set -eu

if [ -n "${LEASEHOLD_TEST_KUBECONFIG:-}" ] || [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
  echo "controlplane: not built, LEASEHOLD_TEST_KUBECONFIG or KUBEBUILDER_ASSETS names another"
  exit 0
fi
exec "$(dirname "$0")/../build.sh" controlplane "6 to 10 minutes"
