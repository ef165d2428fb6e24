#!/usr/bin/env bash
# Each *.patch here removes one safeguard of the commit protocol. This script applies each to a copy of the code and runs the
# protocol's tests there. It fails if no test catches a shortcut, or if the unpatched code doesn't pass.
#
#   tests/shortcuts/run.sh             all shortcuts, each until its first failing test
#   tests/shortcuts/run.sh --all       each with all tests, to see how many catch it
#   tests/shortcuts/run.sh NAME...     only these, without the unpatched code
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
work=${AUDITLAKE_SHORTCUTS_DIR:-$root/target/shortcuts}
tree=$work/tree
export CARGO_TARGET_DIR=$work/target
unset CARGO_BUILD_TARGET_DIR
# each patch changes the library, so incremental builds save nothing, and the compiler has crashed on them here
export CARGO_INCREMENTAL=0

flags=()
if [[ ${1-} == --all ]]; then
    flags=(--no-fail-fast)
    shift
fi
names=("$@")
if [[ $# == 0 ]]; then
    names=("unpatched")
    for patch in "$here"/*.patch; do
        names+=("$(basename "$patch" .patch)")
    done
fi

rm -rf "$tree"
mkdir -p "$tree"
tar -C "$root" -cf - --exclude=./target --exclude=./.git . | tar -C "$tree" -xf -
cd "$tree"
# build only the tests that are run
sed -i -E '/^mod /{/^mod (protocol|support);/!d}' tests/it/main.rs
sed -i -E '/^mod (adapters|stores);/d' tests/it/protocol/mod.rs

# returns 0 if the tests pass, 1 if one fails; `caught` has the names of failed tests
run_tests() {
    local status=0
    if cargo nextest --version >/dev/null 2>&1; then
        timeout 1200 cargo nextest run --locked --test it "${flags[@]}" protocol >"$work/$1.log" 2>&1 || status=$?
        caught=$(sed -nE 's/^ *(FAIL|TIMEOUT|SIG[A-Z]+) \[.*\] .*auditlake::it +(.*)$/\2/p' "$work/$1.log" | sort -u | paste -sd' ' -)
    else
        timeout 1200 cargo test --locked --test it "${flags[@]}" protocol >"$work/$1.log" 2>&1 || status=$?
        caught=$(sed -nE 's/^test (.*) \.\.\. FAILED$/\1/p' "$work/$1.log" | sort -u | paste -sd' ' -)
    fi
    if [[ $status == 124 ]]; then
        caught="${caught:+$caught }(out of time)"
    fi
    [[ $status == 0 ]]
}

bad=0
for name in "${names[@]}"; do
    rm -rf src
    cp -r "$root/src" src
    if [[ $name != unpatched ]] && ! patch --silent --strip=1 --fuzz=0 <"$here/$name.patch"; then
        echo "$name: DOES NOT APPLY"
        bad=1
        continue
    fi
    if ! cargo test --locked --test it --no-run >"$work/$name.log" 2>&1; then
        echo "$name: DOES NOT BUILD, see $work/$name.log"
        bad=1
        continue
    fi
    if run_tests "$name"; then
        if [[ $name == unpatched ]]; then
            echo "unpatched: passes"
        else
            echo "$name: NOT CAUGHT"
            bad=1
        fi
    elif [[ -z $caught ]]; then
        echo "$name: the tests could not be run, see $work/$name.log"
        bad=1
    elif [[ $name == unpatched ]]; then
        echo "unpatched: FAILS: $caught"
        exit 1
    else
        echo "$name: caught by $caught"
    fi
done
exit "$bad"
