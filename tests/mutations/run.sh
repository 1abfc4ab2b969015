#!/usr/bin/env bash
# Applies each patch of this folder to a copy of the tree, and runs the checks that must catch the mistake in it.
#
#   tests/mutations/run.sh [WORD ..]    only the patches whose file name contains one of the words
#
# A patch starts with one sentence that states the mistake. Then one or more lines name the checks:
#
#   Caught-By: simulation C1 seed 34          the seed fails this check, and no other before it
#   Caught-By: simulation C3 seed 12 alone    the same, where no other check is asked
#   Caught-By: model one-holder                the model finds a state that breaks this rule (src/protocol/model)
#   Caught-By: test --lib some::test          this test fails, and no panic is in the changed code
#
# Each named check must also pass on the tree without a mistake. The exit code is 1 if a patch does not apply, does not
# compile, or is not caught. The table of results is printed, and is left in target/mutations/table.md.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly cargo=${CARGO:-cargo}
# The dependencies are optimised, because a simulated hour consists mostly of their code. The library is not: then each
# patch compiles in seconds.
readonly -a simulation=(
    -p leasehold-simulation --test simulation --release
    --config profile.release.lto=false --config profile.release.codegen-units=16
    --config profile.release.incremental=true --config profile.release.strip=false
    --config profile.release.opt-level=2 --config profile.release.package.leasehold-simulation.opt-level=0
    --config profile.release.package.leasehold-simulation.codegen-units=256
)
# The model visits so many states that compiling it with optimisation is shorter.
readonly -a model=(
    -p leasehold --no-default-features --lib
    --config profile.dev.package.leasehold.opt-level=2 --config 'profile.dev.package."*".opt-level=2'
)
# A mistake may make a test run without end.
patience=300

export CARGO_TARGET_DIR=$PWD/target/mutations
export RUST_BACKTRACE=0
mkdir -p "$CARGO_TARGET_DIR"
# Some tests need a real server, which they look for here.
ln -sfn "$PWD/target/controlplane" "$CARGO_TARGET_DIR/controlplane"
readonly table=$CARGO_TARGET_DIR/table.md
work=$(mktemp -d)
readonly work tree=$work/tree log=$work/log
trap 'rm -rf "$work"' EXIT
# So that `git apply` takes the copy as a folder of its own, wherever it is.
export GIT_CEILING_DIRECTORIES=$work

run_cargo() { (cd "$tree" && timeout "$patience" "$cargo" test --locked "$@") </dev/null &>"$log"; }
checks_of() { sed -n 's/^Caught-By: //p' "$1"; }
files_of() { sed -n 's/^+++ b\///p' "$1"; }
mistake_of() { head -n 1 "$1"; }

fail() {
    echo "  FAILED: $1" >&2
    tail -n "${2:-15}" "$log" >&2
}

builds() { # the arguments of a check
    case $1 in
    simulation) run_cargo "${simulation[@]}" --no-run ;;
    model) run_cargo "${model[@]}" --no-run ;;
    test) run_cargo "${@:2:$#-2}" --no-run ;;
    *) echo "unknown check: $*" >"$log" && return 1 ;;
    esac
}

panics_in_changed_code() { # the patch. Unit tests are at the end of their file, and their assertions do count
    sed -n 's/.*panicked at \([^:]*\):\([0-9]*\):.*/\1 \2/p' "$log" | while read -r file line; do
        files_of "$1" | grep -qxF "$file" || continue
        tests=$(grep -n '^#\[cfg(test)\]' "$tree/$file" | tail -n 1 | cut -d: -f1 || true)
        [[ -n $tests && $line -gt $tests ]] || echo "$file:$line"
    done
}

caught() { # the patch, the arguments of a check
    local patch=$1 kind=$2 name=${*: -1}
    shift 2
    case $kind in
    simulation)
        LEASEHOLD_CHECK=$1 LEASEHOLD_SEED=$3 \
            run_cargo "${simulation[@]}" -- --exact --ignored mutation::the_mistake_is_caught &&
            grep -q '^test result: ok. 1 passed' "$log"
        ;;
    model)
        LEASEHOLD_RULE=$1 \
            run_cargo "${model[@]}" -- --exact --ignored protocol::model::mutation::the_mistake_is_caught &&
            grep -q '^test result: ok. 1 passed' "$log"
        ;;
    test)
        run_cargo "${@:1:$#-1}" -- --exact "$name" && return 1
        grep -q "^test $name .*FAILED" "$log" || return 1
        ! panics_in_changed_code "$patch" | grep -q .
        ;;
    esac
}

# Runs one patch: it applies, compiles and is caught.
try() {
    local patch=$1 check arguments
    git -C "$tree" apply --check "$patch" &>"$log" || { fail "the patch does not apply"; return 1; }
    git -C "$tree" apply "$patch"
    while read -r check; do
        read -ra arguments <<<"$check"
        builds "${arguments[@]}" || { fail "it does not compile" 40; return 1; }
        if [[ $check == *" alone" ]]; then export LEASEHOLD_ONLY=1; else unset LEASEHOLD_ONLY; fi
        caught "$patch" "${arguments[@]}" || { fail "not caught by: $check"; return 1; }
    done < <(checks_of "$patch")
}

# All named checks pass on the tree without a mistake: those of one kind in one run.
clean() {
    # All dependencies are compiled first.
    local patience=3600 named seeds kind names
    local -a arguments tests
    named=$(for patch in "$@"; do checks_of "$patch"; done | sort -u)
    seeds=$(sed -n 's/^simulation .* seed \([0-9]*\).*/\1/p' <<<"$named" | sort -nu | paste -sd,)
    if [ -n "$seeds" ]; then
        LEASEHOLD_SEEDS=$seeds \
            run_cargo "${simulation[@]}" -- --exact --ignored mutation::no_check_fails_without_a_mistake &&
            grep -q '^test result: ok. 1 passed' "$log" || return 1
    fi
    if grep -q '^model ' <<<"$named"; then
        run_cargo "${model[@]}" -- --exact --ignored protocol::model::mutation::no_rule_is_broken_without_a_mistake &&
            grep -q '^test result: ok. 1 passed' "$log" || return 1
    fi
    while read -r kind; do
        read -ra arguments <<<"$kind"
        names=$(grep "^test $kind [^ ]*$" <<<"$named" | sed 's/.* //')
        mapfile -t tests <<<"$names"
        run_cargo "${arguments[@]}" -- --exact "${tests[@]}" || return 1
        # A name that no test has would pass.
        grep -q "^test result: ok. ${#tests[@]} passed" "$log" || return 1
    done < <(sed -n 's/^test \(.*\) [^ ]*$/\1/p' <<<"$named" | sort -u)
}

patches=()
for patch in "$PWD"/tests/mutations/*.patch; do
    for word in "${@:-}"; do
        [[ ${patch##*/} == *"$word"* ]] && patches+=("$patch") && break
    done
done
[ ${#patches[@]} -gt 0 ] || { echo "no patch has a name with: $*" >&2; exit 1; }

begun=$SECONDS
mkdir "$tree"
git ls-files -z --cached | tar --null --files-from - -cf - | tar -xf - -C "$tree"
echo "the tree without a mistake: ${#patches[@]} patches to come"
clean "${patches[@]}" || { fail "a check fails without a mistake, or does not exist" 40; exit 1; }

{
    echo "| mistake | in | caught by | caught | seconds |"
    echo "|---|---|---|---|---|"
} >"$table"
missed=0
for patch in "${patches[@]}"; do
    from=$SECONDS
    echo "${patch##*/}"
    result=yes
    try "$patch" || { result="**no**"; missed=$((missed + 1)); }
    git -C "$tree" apply -R "$patch" 2>/dev/null || true
    files=$(files_of "$patch" | sed 's/.*/`&`/' | paste -sd, | sed 's/,/, /g')
    checks=$(checks_of "$patch" | sed 's/^test .* /test /; s/^test \(.*\)$/`\1`/' | paste -sd, | sed 's/,/, /g')
    echo "| $(mistake_of "$patch" | sed 's/\.$//') | $files | $checks | $result | $((SECONDS - from)) |" >>"$table"
done

cat "$table"
echo
echo "$((${#patches[@]} - missed)) of ${#patches[@]} caught, $(((SECONDS - begun + 30) / 60)) minutes, $(nproc) cores"
[ "$missed" = 0 ]
