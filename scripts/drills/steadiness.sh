#!/usr/bin/env bash
# What makes a result unsteady or bound by its client, provoked one by one: a target that is stopped for a while, a
# program beside it that uses the CPU, a control group with little CPU time; and the same load left alone.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need python3

load() { # NAME CODES FLAG ...: a closed loop of 100 connections at 20 ms, over 4 s
    local name=$1 codes=$2
    shift 2
    run 25 "$name" "$BRINK" load --model mio --delay 20ms -c 100 -d 4s --warmup 1s --format json "$@"
    # shellcheck disable=SC2086 # words
    expect_rc "$name" $codes
    check_clean "$name.out" 100
}

told() { # NAME WORDS: whether a reason says so
    check_json "$1.out" "any('$2' in why for why in r['validity']['reasons'])" "$1 says: $2"
}

# Left alone nothing moves; whether others let it alone is not asked of the machine.
load alone "0 5"
check_json alone.out "not any('stalled' in why or 'quota' in why for why in r['validity']['reasons'])" 'left alone'

# A target that stands still for a second of four.
bg_target stopped "$BRINK" target --model mio --listen 127.0.0.1:0 --control 127.0.0.1:0 --delay 20ms
target=$LAST_PID
bg stall timeout --kill-after=3 25 "$BRINK" load --target "$ADDRESS" --control "$CONTROL" -c 100 -d 4s --warmup 1s --format json
client=$LAST_PID
wait_for 10 "the window" grep -q window stall.err
timeout 10 python3 "$drills_dir/stall.py" stop "$target" 1 1 >stalled_s
reap 20 "$client"
expect_rc stall 5
told stall 'the target or the machine stalled'
check_json stall.out 'r["validity"]["verdict"] == "unsteady"' 'a stall'
end "$target"

# More programs than CPUs beside it.
busy=()
for ((n = 0; n < 2 * $(nproc); n++)); do
    bg "busy$n" timeout --kill-after=3 30 python3 -c 'while True: pass'
    busy+=("$LAST_PID")
done
load beside 5
told beside 'other programs used'
for pid in "${busy[@]}"; do end "$pid"; done

# A control group that gives both ends a twentieth of a CPU, where one can be made: version 1.
group=/sys/fs/cgroup/cpu/$DRILL_TAG
if [[ $(id -u) == 0 && -e /sys/fs/cgroup/cpu/cpu.cfs_quota_us ]] && mkdir "$group" 2>/dev/null; then
    # `cleanup` removes it.
    echo "cgroup $group" >>"$DRILL_WORK/changes"
    echo 100000 >"$group/cpu.cfs_period_us"
    echo 5000 >"$group/cpu.cfs_quota_us"
    # shellcheck disable=SC2016 # the shell that joins the group
    run 40 quota bash -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$group" \
        "$BRINK" load --model mio -c 100 -d 4s --warmup 1s --format json
    expect_rc quota 5
    told quota 'control group may use'
    check_json quota.out 'r["validity"]["verdict"] == "client_bound"
        and r["facts"]["client"]["cpu_quota"] == 0.05 == r["facts"]["target"]["cpu_quota"]' 'a quota'
else
    echo "prerequisite missing: a control group of version 1 for cpu; the quota was not tried"
fi
