# Where the cluster's state is; sourced. DIR chooses it, so that there can be more than one.
target=$(realpath -m "${CARGO_TARGET_DIR:-$(dirname "$(realpath "${BASH_SOURCE[0]}")")/../../target}")
dir=$(realpath -m "${DIR:-$target/cluster/run}")
say() { echo "cluster: $*"; }
