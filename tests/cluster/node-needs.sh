#!/bin/bash
# Checks whether this machine can run the node, and prints everything that is missing and how to get it.
# It needs root, and installs the missing packages of packages.txt with apt-get: containerd, runc, the CNI plugins,
# nftables and others, and the packages that these depend on, such as iptables. They stay installed. It prints the list
# before it installs.
# usage: node-needs.sh
set -euo pipefail
here=$(dirname "$(realpath "$0")")
missing=()
need() { # WHAT COMMAND...
  local what=$1
  shift
  "$@" >/dev/null 2>&1 || missing+=("$what")
}
writable_cgroup() {
  local tree=/sys/fs/cgroup
  [ -e "$tree/cgroup.controllers" ] || tree=$tree/memory
  # The mode of a directory says little in a file system of the kernel, so make a group and remove it.
  mkdir "$tree/leasehold-probe.$$" && rmdir "$tree/leasehold-probe.$$"
}
linkable() {
  ip link add "lease$$" type veth peer name "hold$$" && ip link del "lease$$"
}
fail() {
  echo "cluster: this machine cannot run the node:" >&2
  printf '  - %s\n' "${missing[@]}" >&2
  echo "  Any other cluster will do for \`make e2e\`: set KUBECONFIG and LEASEHOLD_E2E_LOAD, see tests/cluster/README.md." >&2
  exit 1
}

need "Linux: it is made of namespaces and cgroups. Elsewhere start docker and install kind" test "$(uname -s)" = Linux
need "root: it makes namespaces, a network link and cgroups. Run it with sudo, or start docker and install kind" test "$(id -u)" = 0
[ ${#missing[@]} = 0 ] || fail

packages=()
while read -r package programs; do
  for program in $programs; do
    if ! command -v "$program" >/dev/null; then packages+=("$package"); break; fi
  done
done <"$here/packages.txt"
if [ ${#packages[@]} != 0 ]; then
  if command -v apt-get >/dev/null; then
    echo "cluster: about to install with apt-get: ${packages[*]}"
    echo "cluster: apt-get also installs what they depend on, such as iptables. All of it stays installed."
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    install=(env DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-upgrade --no-install-recommends "${packages[@]}")
    # Try the present package lists first, then update them.
    if ! "${install[@]}" >"$log" 2>&1 && ! { apt-get update -qq && "${install[@]}"; } >"$log" 2>&1; then
      cat "$log" >&2
      missing+=("the packages ${packages[*]}: apt-get failed, see above")
    fi
  else
    missing+=("the programs of the Debian packages ${packages[*]}, and no apt-get to install them")
  fi
fi
need "the right to make namespaces: \`unshare\` is refused (a container without CAP_SYS_ADMIN?)" unshare --mount --net --pid --fork true
need "the right to make a network link (a pair of veth)" linkable
need "nftables in this kernel" unshare --net nft list tables
need "cgroups that can be written to, under /sys/fs/cgroup" writable_cgroup
need "the file system overlay in this kernel" grep -qw overlay /proc/filesystems
[ ${#missing[@]} = 0 ] || fail
