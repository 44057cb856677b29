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

# Nothing is in the way. Another program may be, once: then it is another run that tells.
clean() {
    load clean -c 20 --delay 10ms -d 3s "${pinned[@]}"
    [[ $RC != 5 ]] || load clean -c 20 --delay 10ms -d 3s "${pinned[@]}"
    verdict clean 0 valid
}

# Its one CPU is in use all the time: two processes of the target can take more.
client_cpu() {
    load client_cpu -c 64 -d 2s --model mio --target-processes 2 --payload 16KiB --cpus "$of_client"
    [[ $RC != 0 ]] || load client_cpu -c 64 -d 2s --model mio --target-processes 2 --payload 16KiB --cpus "$of_client"
    verdict client_cpu 5 client_bound 'CPU seconds per second'
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

clean
client_cpu
client_lag
drift
behind
limit
death
impossible_rate
mismatch
