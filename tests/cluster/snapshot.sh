#!/bin/bash
# Prints everything on this machine that a cluster could leave changed: mounts, links, addresses, routes, cgroups, nft
# rules, kernel settings, the usual folders of its parts, and processes in other namespaces.
# usage: snapshot.sh
set -uo pipefail
echo "# mounts"; cut -d' ' -f4- /proc/self/mountinfo | sort
echo "# links"; ip -o link show | sed 's/^[0-9]*: //' | sort
# Without the lifetime of addresses, which counts down.
echo "# addresses"; ip -o addr show | sed 's/^[0-9]*: //; s/valid_lft.*//' | sort
echo "# routes"; ip route show table all | sort
echo "# cgroups"; find /sys/fs/cgroup -type d | sort
if command -v nft >/dev/null; then echo "# nft"; nft list ruleset; fi
echo "# kernel settings"; sysctl -a 2>/dev/null | grep -E '^(vm|kernel)\.(overcommit|panic|oom|keys)|^net\.(ipv4\.(ip_forward|conf)|ipv6\.conf|bridge|netfilter)|^vm\.panic_on_oom' |
  grep -v nf_conntrack_count | sort
echo "# folders"; ls -d /etc/cni /etc/containerd /etc/kubernetes /opt/* /run/* /tmp/leasehold* /usr/libexec/kubernetes /var/lib/* /var/log/* /root/.kube 2>/dev/null | sort
echo "# processes in other namespaces"
own=$(readlink /proc/self/ns/pid)
for process in /proc/[0-9]*; do
  if [ "$(readlink "$process/ns/pid" 2>/dev/null || echo "$own")" != "$own" ]; then tr '\0' ' ' <"$process/cmdline"; echo; fi
done | sort
echo "# processes that hold namespaces"; ps -eo comm=,args= | awk '$1 ~ /^(unshare|nsenter|containerd)/ { $1 = ""; print }' | sort
