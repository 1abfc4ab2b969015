#!/bin/bash
# Brings a cluster up and takes it down, twice, and shows that nothing on this machine is different afterwards.
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
  # With a pod there is more to leave behind: its link, mounts, cgroups and rules.
  kubectl run guest --image=localhost/pause:1 --image-pull-policy=Never >/dev/null
  kubectl wait --for=condition=Ready pod/guest --timeout=60s
  "$here/snapshot.sh" >"$work/during"
  # A snapshot that shows no cluster would show no leftovers either.
  for what in 'leasehold[0-9].*link' 'cgroup/.*leasehold[0-9]/' 'kube-apiserver' 'unshare --mount' '/pause'; do
    grep -q "$what" "$work/during" || { echo "cluster: the snapshot does not show $what" >&2; exit 1; }
  done
  began=$SECONDS
  "$here/down.sh"
  say "$round time: down after $((SECONDS - began)) s"
  "$here/snapshot.sh" >"$work/after"
  diff "$work/before" "$work/after" || { echo "cluster: this is different from before" >&2; exit 1; }
done
say "twice up and down: mounts, links, addresses, routes, cgroups, rules, settings, folders and processes as before"
