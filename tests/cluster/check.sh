#!/bin/bash
# Starts and removes a cluster twice, and checks that this machine is the same afterwards.
# usage: check.sh
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/state.sh"
work=$(mktemp -d)
export DIR=$work/run
trap '"$here/down.sh" >/dev/null; rm -rf "$work"' EXIT
if [ -z "${LEASEHOLD_CLUSTER:-}" ]; then export LEASEHOLD_CLUSTER=node; fi
"$here/node-needs.sh"
"$here/../build.sh" cluster "10 to 30 minutes"
kubectl() { KUBECONFIG=$DIR/kubeconfig KUBECACHEDIR=$work/cache "$target/cluster/cluster" kubectl "$@"; }
"$here/snapshot.sh" >"$work/before"
for round in first second; do
  began=$SECONDS
  "$here/up.sh"
  say "$round time: up after $((SECONDS - began)) s, load $(cut -d' ' -f1 /proc/loadavg)"
  # A pod adds more that could be left behind: its link, mounts, cgroups and rules.
  kubectl run guest --image=localhost/pause:1 --image-pull-policy=Never >/dev/null
  kubectl wait --for=condition=Ready pod/guest --timeout=60s
  "$here/snapshot.sh" >"$work/during"
  # The snapshot must show the running cluster: otherwise it could not show leftovers either.
  for what in 'leasehold[0-9].*link' 'cgroup/.*leasehold[0-9]/' 'kube-apiserver' 'unshare --mount' '/pause'; do
    grep -q "$what" "$work/during" || { echo "cluster: the snapshot does not show $what" >&2; exit 1; }
  done
  began=$SECONDS
  "$here/down.sh"
  say "$round time: down after $((SECONDS - began)) s"
  "$here/snapshot.sh" >"$work/after"
  diff "$work/before" "$work/after" || { echo "cluster: the machine differs from before" >&2; exit 1; }
done
say "twice up and down: mounts, links, addresses, routes, cgroups, rules, settings, folders and processes as before"
