#!/usr/bin/env bash
# Every verdict is provoked, each by what it is there for; and a run that nothing disturbs is valid.
# shellcheck source-path=SCRIPTDIR source=limits_lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/limits_lib.sh"
need root python3 taskset unshare
mapfile -t cpus < <(python3 -c 'import os; print(*sorted(os.sched_getaffinity(0)), sep="\n")')
((${#cpus[@]} >= 2)) || fail "prerequisite missing: two CPUs, one for each end"
of_client=${cpus[0]} of_target=${cpus[1]}
pinned=(--cpus "$of_client" --target-cpus "$of_target")

verdict() { # NAME EXIT_CODE VERDICT [WORDS of a reason]
    expect_rc "$1" "$2"
    check_json "$1.out" "r['validity']['verdict'] == '$3'" "$1: $3"
    if [[ -n ${4:-} ]]; then
        check_json "$1.out" "any('$4' in why for why in r['validity']['reasons'])" "$1: a reason that says '$4'"
    fi
    echo "verdict: $1: $3: $(show_json "$1.out" "(r['validity']['reasons'] or ['-'])[0]")"
}

load() { # NAME FLAG ...
    local name=$1
    shift
    run 25 "$name" "$BRINK" load --format json "$@"
}

# Nothing is in the way. What shares the machine may be for a while, or its hypervisor: then it is another run that tells,
# and one of them must be valid.
clean() {
    local try
    for try in 1 2 3 4 5 6; do
        load clean -c 20 --delay 10ms -d 3s "${pinned[@]}"
        [[ $RC == 5 ]] || break
        echo "clean: not by try $try: $(show_json clean.out "'; '.join(r['validity']['reasons'])")"
    done
    verdict clean 0 valid
}

# A control group with so much of a CPU, in hundredths; its folder is in GROUP.
cpu_group() { # NAME HUNDREDTHS
    make_group cpu "$1"
    if [[ -e $GROUP/cpu.max ]]; then
        echo "$(($2 * 1000)) 100000" >"$GROUP/cpu.max"
    else
        echo 100000 >"$GROUP/cpu.cfs_period_us"
        echo $(($2 * 1000)) >"$GROUP/cpu.cfs_quota_us"
    fi
}

# It uses all that it may, while the target has CPU time to spare.
client_cpu() {
    a_target roomy -- --model mio
    cpu_group client 20
    run 25 client_cpu "${into[@]}" "$GROUP" "$BRINK" load "${AT[@]}" -c 64 -d 3s --format json
    verdict client_cpu 5 client_bound 'control group may use'
    end_target
}

# Requests that went out late although a connection was idle: the client itself stood still for a while.
client_lag() {
    bg client_lag timeout --kill-after=3 20 "$BRINK" load -c 50 -r 2000 -d 4s --warmup 500ms --format json "${pinned[@]}"
    local load=$LAST_PID client
    wait_for 10 "the window" grep -q window client_lag.err
    read -r client < <(descendants "$load")
    kill -STOP "$client"
    sleep 0.4
    kill -CONT "$client"
    reap 15 "$load"
    verdict client_lag 5 client_bound 'schedule lagged'
}

# Another program takes the target's CPU in the second half.
drift() {
    bg drift timeout --kill-after=3 20 "$BRINK" load -c 32 --work 200us -d 6s --warmup 500ms --format json "${pinned[@]}"
    local load=$LAST_PID
    wait_for 10 "the window" grep -q window drift.err
    sleep 2.5
    bg burner taskset -c "$of_target" python3 "$drills_dir/busy.py" burn 4
    reap 15 "$load"
    end "$LAST_PID"
    verdict drift 5 unsteady
}

# More is due than can be served.
behind() {
    load behind -c 20 -r 4000 --delay 10ms -d 2s "${pinned[@]}"
    verdict behind 5 unsteady '4,000/s intended'
}

# Fewer descriptors than connections.
limit() {
    a_target few prlimit --nofile=100:100 -- --model mio
    load limit "${AT[@]}" -c 200 -d 1s --no-preflight
    verdict limit 1 limit_bound 'of 200 connections opened (limit: rlimit.nofile)'
    end_target
}

# It dies in the window.
death() {
    a_target mortal -- --model tokio
    bg death timeout --kill-after=3 20 "$BRINK" load "${AT[@]}" -c 20 --delay 5ms -d 6s --format json
    local load=$LAST_PID
    wait_for 10 "the window" grep -q window death.err
    kill -KILL "$TARGET_PID"
    reap 15 "$load"
    verdict death 1 failed 'connections were lost'
}

# More replies than the wait allows that it says it waited.
impossible_rate() {
    bg_target liar python3 "$drills_dir/echo.py" --lie
    load impossible --target "$ADDRESS" -c 10 --delay 100ms -d 1s
    verdict impossible 1 failed 'above its arithmetic ceiling'
    end "$LAST_PID"
}

# Other bytes than were sent.
mismatch() {
    bg_target wrong python3 "$drills_dir/echo.py" --wrong
    load mismatch --target "$ADDRESS" -c 10 -d 500ms
    expect_rc mismatch 1
    end "$LAST_PID"
}

# It stands still for a second of four.
stall() {
    bg_target halting "$BRINK" target --model mio --listen 127.0.0.1:0 --control 127.0.0.1:0 --delay 20ms
    local target=$LAST_PID
    bg stall timeout --kill-after=3 25 "$BRINK" load --target "$ADDRESS" --control "$CONTROL" -c 100 -d 4s --warmup 1s --format json
    local load=$LAST_PID
    wait_for 10 "the window" grep -q window stall.err
    timeout 10 python3 "$drills_dir/stall.py" stop "$target" 1 1 >stalled_s
    reap 20 "$load"
    verdict stall 5 unsteady 'the target or the machine stalled'
    end "$target"
}

# More programs than CPUs beside it.
others() {
    make_busy
    load others --model mio --delay 20ms -c 100 -d 3s
    expect_rc others 5
    check_json others.out "any('other programs used' in why for why in r['validity']['reasons'])" "others: told"
    at_ease
}

# A control group that gives both ends a twentieth of a CPU.
quota() {
    cpu_group quota 5
    run 40 quota "${into[@]}" "$GROUP" "$BRINK" load --model mio -c 100 -d 4s --warmup 1s --format json
    verdict quota 5 client_bound 'control group may use'
    check_json quota.out 'r["facts"]["client"]["cpu_quota"] == 0.05 == r["facts"]["target"]["cpu_quota"]' 'a quota'
}

# The hypervisor takes a tenth of the CPU time, as far as /proc/stat tells, which is another one in a mount namespace.
steal() {
    bg thief python3 "$drills_dir/busy.py" steal "$DRILL_WORK/stat" 0.1
    local thief=$LAST_PID
    wait_for 5 "a file like /proc/stat" test -s stat
    # shellcheck disable=SC2016 # for the inner shell
    run 25 steal unshare -m sh -c 'mount --bind "$0" /proc/stat && exec "$@"' "$DRILL_WORK/stat" \
        "$BRINK" load --format json -c 20 --delay 10ms -d 3s "${pinned[@]}"
    verdict steal 5 unsteady 'was stolen'
    end "$thief"
}

clean
client_cpu
client_lag
drift
stall
behind
others
quota
steal
limit
death
impossible_rate
mismatch
