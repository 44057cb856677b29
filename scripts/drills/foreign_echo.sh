#!/usr/bin/env bash
# An echo server that is not brink's: valid figures of what can be seen, and honest failures.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need python3

bg_target echo python3 "$drills_dir/echo.py"
echo_pid=$LAST_PID
run 20 closed "$BRINK" load --target "$ADDRESS" -c 50 --think 50ms --warmup 300ms -d 1s --format json
expect_rc closed 0 5
check_clean closed.out 50
check_json closed.out 'r["requests"]["completed"] > 200 and r["delay_error_ns"] is None and r["target_counters"] is None
    and r["facts"]["target"]["limits"] and len(r["usage"]["target"]) > 2 and r["usage"]["target"][0]["live"] is None
    and any("does not say how long it waited" in why for why in r["validity"]["reasons"])' \
    'a stranger on this machine is found by its port, and looked at from outside'
run 20 hold "$BRINK" load --target "$ADDRESS" -c 200 --workload hold --heartbeat 300ms --warmup 300ms -d 1s --format json
expect_rc hold 0 5
check_clean hold.out 200
check_json hold.out 'r["requests"]["completed"] >= 400'

# It goes silent in mid-run: requests time out, and the run ends.
bg silent timeout --kill-after=3 25 "$BRINK" load --target "$ADDRESS" -c 50 --think 50ms --warmup 200ms -d 3s \
    --timeout 1s --format json
load=$LAST_PID
wait_for 10 "the window" grep -q window silent.err
began=$SECONDS
kill -STOP "$echo_pid"
reap 15 "$load"
kill -CONT "$echo_pid"
echo "    ended $((SECONDS - began)) s after the target went silent"
expect_rc silent 1
check_sums silent.out
check_json silent.out 'r["requests"]["failed"] >= 50 and r["validity"]["verdict"] == "failed"
    and any(f["phase"] == "request" and f["errno"] == "timeout" and f["count"] >= 50 for f in r["failures"])'
run 20 after "$BRINK" load --target "$ADDRESS" -c 50 --think 50ms --warmup 300ms -d 1s --format json
expect_rc after 0 5
check_clean after.out 50
end "$echo_pid"

# It is silent from the start: the backlog takes the connection, nobody echoes.
bg_target mute python3 "$drills_dir/echo.py"
kill -STOP "$LAST_PID"
run 10 mute_load "$BRINK" load --target "$ADDRESS" -c 10 --timeout 1s -d 1s
expect_rc mute_load 1
expect_line mute_load '^brink: '
end "$LAST_PID"

# Other bytes than were sent.
bg_target wrong python3 "$drills_dir/echo.py" --wrong
run 10 wrong_load "$BRINK" load --target "$ADDRESS" -c 10 -d 1s
expect_rc wrong_load 1
expect_line wrong_load '^brink: '
[[ ! -s wrong_load.out ]] || fail "a server with wrong bytes has a result on stdout: $(head -n 1 wrong_load.out)"
end "$LAST_PID"

# It dies in mid-run.
bg_target mortal python3 "$drills_dir/echo.py" --close-after 1500
began=$SECONDS
run 15 mortal_load "$BRINK" load --target "$ADDRESS" -c 50 --think 20ms --warmup 100ms -d 3s --timeout 1s --format json
expect_rc mortal_load 1
((SECONDS - began <= 8)) || fail "a run whose target died took $((SECONDS - began)) s"
check_sums mortal_load.out
check_json mortal_load.out 'r["connections"]["opened"] == 50 and r["connections"]["closed_early"] == 50
    and r["validity"]["verdict"] == "failed" and sum(f["count"] for f in r["failures"]) >= 50' 'a target that dies'
check_json mortal_load.out '0 < r["requests"]["completed"] <= 1500 and r["requests"]["failed"] > 0' 'requests that fail are counted'
