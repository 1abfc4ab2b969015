#!/bin/bash
# Starts a one-node cluster in its own namespaces, from the binary of ../build.sh, and waits until the node is ready.
# Takes the first free name and addresses: leasehold0 with 10.210.0.0/16, leasehold1 with 10.211.0.0/16, ...
# usage: [DIR=...] node-up.sh
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/state.sh"
binary=$(realpath "$target/cluster/cluster")

# cgroup v1 has one tree for each controller, v2 has one tree for all.
trees() {
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then echo /sys/fs/cgroup; else realpath /sys/fs/cgroup/*/ | sort -u; fi
}

# Creating the first directory reserves the name, so two clusters that start at once get different names.
take_name() {
  local first number
  first=$(trees | head -n 1)
  for number in $(seq 0 9); do
    name=leasehold$number net=10.$((210 + number))
    if ip link show "$name" >/dev/null 2>&1 || [ -n "$(ip route show root "$net.0.0/16")" ]; then continue; fi
    if mkdir "$first/$name" 2>/dev/null; then
      echo "$first/$name" >"$dir/cgroups"
      return
    fi
  done
  echo "cluster: no free name among ten: is $first/leasehold0 a leftover?" >&2
  exit 1
}

make_cgroups() {
  local tree controller
  trees | tail -n +2 | while read -r tree; do
    mkdir "$tree/$name"
    echo "$tree/$name" >>"$dir/cgroups"
  done
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    # Enable the controllers that the kubelet needs. Most machines have most of them enabled.
    for controller in cpu cpuset memory hugetlb pids; do
      if grep -qw "$controller" /sys/fs/cgroup/cgroup.controllers; then echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control; fi
    done
  fi
}

fill_directory() {
  mkdir "$dir/log" "$dir/bin" "$dir/images"
  ln "$binary" "$dir/bin/cluster" 2>/dev/null || cp "$binary" "$dir/bin/cluster"
  "$here/../build.sh" cluster/pause
  "$here/../../image/archive.sh" localhost/pause:1 "$target/cluster/pause/pause" "$dir/images/pause.tar"
  cp -r "$here/conf" "$dir/conf"
  find "$dir/conf" -type f -exec sed -i "s/@NET@/$net/g; s/@NAME@/$name/g" {} +
  "$here/certs.sh" "$dir/pki" "https://$net.0.2:6443" "$net.0.2" "$net.2.1"
}

start() {
  setsid unshare --mount --net --pid --uts --ipc --fork --kill-child --mount-proc \
    "$here/node.sh" "$dir" "$name" "$net" </dev/null >/dev/null 2>"$dir/log/unshare.log" &
  pid=$!
  # With the start time, because a process id can be reused.
  echo "$pid $(cut -d' ' -f22 /proc/$pid/stat) $name" >"$dir/pid"
  while [ "$(readlink /proc/$pid/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.02; done
  ip link add "$name" type veth peer name eth0 netns "$pid"
  ip addr add "$net.0.1/30" dev "$name"
  ip link set "$name" up
}

kubectl() { KUBECACHEDIR=$dir/cache "$binary" kubectl --kubeconfig "$dir/kubeconfig" "$@"; }

# Waits until COMMAND succeeds, for at most two minutes.
wait_for() { # WHAT COMMAND...
  local what=$1 end=$((SECONDS + 120))
  shift
  until "$@" >/dev/null 2>&1; do
    if [ ! -e "/proc/$pid" ]; then echo "cluster: the node ended while waiting for $what" >&2; exit 1; fi
    if [ $SECONDS -gt $end ]; then echo "cluster: timed out waiting for $what" >&2; exit 1; fi
    sleep 0.1
  done
  say "$what: ready"
}

failed() {
  code=$?
  if [ $code != 0 ]; then
    tail -qn 3 "$dir"/log/*.log >&2 || true
    KEEP=1 "$here/down.sh"
    echo "cluster: failed to start; the logs are in $dir/log" >&2
  fi
}

mkdir -p "$(dirname "$dir")"
mkdir "$dir"
trap failed EXIT
take_name
make_cgroups
say "starting $name on this machine, in $dir; needs about 1 GB of memory"
fill_directory
start
wait_for "API server" kubectl get --raw /readyz
wait_for "node" kubectl wait --for=condition=Ready "node/$name" --timeout=1s
wait_for "service accounts" kubectl get serviceaccount default
echo "KUBECONFIG=$dir/kubeconfig"
