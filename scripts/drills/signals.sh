#!/usr/bin/env bash
# SIGINT and SIGTERM in mid-run: what was measured is written, and the code says which signal it was.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need python3

cat >sweep.toml <<'TOML'
name = "signals"
repeats = 1
seed = 1

[[target]]
model = "mio"

[[target]]
model = "tokio"

[[target]]
model = "threads"

[load]
workload = "closed"
warmup = "100ms"

[[step]]
connections = 20
delay = "20ms"
duration = "8s"
TOML
# The first case is short, so that there is a result before the one that is interrupted.
if ! "$BRINK" plan sweep.toml >/dev/null 2>&1; then
    sed -i '/^duration/d; s/^warmup.*/&\nduration = "2s"/' sweep.toml
fi
"$BRINK" plan sweep.toml >plan.txt 2>&1 || fail "the sweep file of this drill: $(tail -n 1 plan.txt)"

for row in INT:130 TERM:143; do
    signal=${row%:*}
    out=out_$signal
    bg "sweep_$signal" "$BRINK" sweep sweep.toml --out "$out"
    sweep=$LAST_PID
    first=("$out"/001-*.json)
    first_is_there() { first=("$out"/001-*.json) && [[ -s ${first[0]} ]]; }
    wait_for 20 "the first result" first_is_there
    wait_for 10 "the second case in its window" grep -q '^\[2/3\].*window' "sweep_$signal.err"
    mapfile -t processes < <(descendants "$sweep")
    kill "-$signal" "$sweep"
    reap 8 "$sweep"
    expect_rc "sweep_$signal" "${row#*:}"
    for pid in "${processes[@]}"; do wait_for 5 "the end of process $pid" gone "$pid"; done
    [[ -s $out/plan.json && -s $out/report.html ]] || fail "SIG$signal: no plan.json or report.html"
    results=("$out"/0*.json)
    [[ ${#results[@]} == 2 ]] || fail "SIG$signal: ${#results[@]} results instead of 2"
    check_clean "${results[0]}" 20
    check_sums "${results[1]}"
    check_json "${results[1]}" 'r["validity"]["verdict"] == "failed" and r["validity"]["reasons"][0].startswith("interrupted")
        and r["requests"]["completed"] > 0 and r["connections"]["opened"] == 20'
    if compgen -G "$out/.*.part-*" >/dev/null; then fail "SIG$signal: half-written files are left"; fi
    # The folder is a whole: the report can be drawn again.
    run 10 "report_$signal" "$BRINK" report "$out"
    expect_rc "report_$signal" 0
done

# A single load, and its own target with it.
bg load "$BRINK" load -c 20 --delay 20ms -d 20s --warmup 100ms --format json
load=$LAST_PID
wait_for 10 "the window" grep -q window load.err
mapfile -t processes < <(descendants "$load")
((${#processes[@]} > 0)) || fail "the load has no target process"
kill -INT "$load"
reap 8 "$load"
expect_rc load 130
for pid in "${processes[@]}"; do wait_for 5 "the end of process $pid" gone "$pid"; done
check_sums load.out
check_json load.out 'r["validity"]["reasons"][0].startswith("interrupted") and r["requests"]["completed"] > 0'

# A target stops at once, and well.
bg_target target "$BRINK" target --model threads --listen 127.0.0.1:0
kill -TERM "$LAST_PID"
reap 5 "$LAST_PID"
expect_rc target 0
