#!/usr/bin/env bash
# An open loop does not leave out what a stalled server makes requests wait: the target is stopped for one second
# in the middle of ten, and the percentiles of latency are those of arithmetic.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need python3

delay_ms=5
bg_target target "$BRINK" target --model mio --listen 127.0.0.1:0 --control 127.0.0.1:0 --delay ${delay_ms}ms
target=$LAST_PID
for arrivals in fixed poisson; do
    bg "open_$arrivals" timeout --kill-after=3 25 "$BRINK" load --target "$ADDRESS" --control "$CONTROL" \
        -c 100 -r 1000 --arrivals $arrivals -d 10s --warmup 1s --format json
    load=$LAST_PID
    wait_for 10 "the window" grep -q window "open_$arrivals.err"
    stall_s=$(timeout 10 python3 "$drills_dir/stall.py" stop "$target" 4 1)
    reap 20 "$load"
    # A stall that the target's own figures show is not a steady run; it is measured all the same.
    expect_rc "open_$arrivals" 0 5
    python3 "$drills_dir/stall.py" check "open_$arrivals.out" "$stall_s" 1000 100 $delay_ms ||
        fail "open_$arrivals: the percentiles are not those of arithmetic"
done

# At a rate that it cannot serve the run says so, ends on time, and its memory stays where it was.
began=$SECONDS
run 20 overload "$BRINK" load --target "$ADDRESS" --control "$CONTROL" -c 20 -r 200k -d 4s --warmup 1s --timeout 2s \
    --format json
((SECONDS - began <= 12)) || fail "overload: took $((SECONDS - began)) s instead of 5"
expect_rc overload 5
check_json overload.out 'r["requests"]["per_s_intended"] == 200000 and r["requests"]["intended"] == 800000
    and r["requests"]["completed"] + r["requests"]["failed"] + r["requests"]["not_sent"] == 800000
    and r["requests"]["not_sent"] > 400000' 'every request that was due is accounted for'
check_json overload.out 'r["validity"]["verdict"] in ("unsteady", "client_bound")
    and any("200,000/s intended" in why for why in r["validity"]["reasons"])' 'what was intended and what was served'
check_json overload.out 'max(s["user_bytes"] for s in r["usage"]["client"] if s["t_s"] > 2)
    - min(s["user_bytes"] for s in r["usage"]["client"] if s["t_s"] > 2) < 2 << 20' 'memory stays bounded'
end "$target"
