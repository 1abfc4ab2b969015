# To be sourced: the directory of the state. DIR chooses it, so that several clusters can run.
target=$(realpath -m "${CARGO_TARGET_DIR:-$(dirname "$(realpath "${BASH_SOURCE[0]}")")/../../target}")
dir=$(realpath -m "${DIR:-$target/cluster/run}")
say() { echo "cluster: $*"; }
