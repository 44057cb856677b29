#!/usr/bin/env bash
# How long `brink report` takes for a run of 500 cases, and what the page weighs: less than 2 s and 3 MB.
#
#   scripts/bench-report.sh [ROUNDS] [OTHER-BRINK]
#
# ROUNDS times each [5]; with another program in turn with it (A B A B ..). Builds the release program if BRINK does not
# name one. The cases are made up from a committed result, 167 of them with three repeats, full samples each. Wants a quiet machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
rounds=${1:-5}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [[ -z ${BRINK:-} ]]; then
    cargo build --release --quiet
    BRINK=${CARGO_TARGET_DIR:-target}/release/brink
fi
cargo run --release --quiet -p brink-results --example report -- "$work/run" five-hundred
echo "$(find "$work/run" -name '*.json' | wc -l) results, $(du -sm "$work/run" | cut -f 1) MB"

timed() { # NAME PROGRAM
    local began ended
    began=$(date +%s%N)
    "$2" report "$work/run" --out "$work/$1.html" >/dev/null
    ended=$(date +%s%N)
    echo "$1: $(((ended - began) / 1000000)) ms, $(stat -c %s "$work/$1.html") bytes"
}

for ((round = 0; round < rounds; round++)); do
    timed A "$BRINK"
    if [[ -n ${2:-} ]]; then timed B "$2"; fi
done
