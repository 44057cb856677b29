#!/usr/bin/env bash
# Both ends past the limit of descriptors of one process, by themselves; a process of the client that is killed, one that
# stands still, and the one that conducts: what was measured is there, nobody is left.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need python3 prlimit

parts_of() { # PID: the processes of its client, as many as there are
    local pid
    for pid in $(descendants "$1"); do
        if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q ' run-part '; then echo "$pid"; fi
    done
}
has_parts() { [[ $(parts_of "$1" | wc -l) == "$2" ]]; }
all_gone() {
    local pid
    for pid in "$@"; do gone "$pid" || return 1; done
}

# 8,000 connections with 500 descriptors for each process: each echoed, held with a heartbeat, closed by RST.
run 60 auto prlimit --nofile=500:500 "$BRINK" load --model mio -c 8000 --processes auto --target-processes auto \
    --workload hold --heartbeat 2s -d 4s --warmup 0s --timeout 20s --format json
expect_rc auto 0 5
check_clean auto.out 8000
check_json auto.out 'r["case"]["load"]["processes"] >= 17 and r["case"]["target"]["processes"] >= 18
    and r["predicted"]["at_connections"] >= 8000' 'as many processes as the limit needs'
check_json auto.out 'r["requests"]["completed"] >= 15900 and r["requests"]["failed"] == 0' 'every heartbeat answered'
check_json auto.out 'r["usage"]["machine"][-1]["tcp_time_wait"] - r["usage"]["machine"][0]["tcp_time_wait"] < 500' \
    'closed by RST'
# Without it the same is refused, and what lifts it is said.
run 20 refused prlimit --nofile=500:500 "$BRINK" load --model mio -c 8000 --workload hold -d 1s
expect_rc refused 4
expect_line refused 'rlimit\.nofile = 500 on the (client|target)'

# Nearly all of 10,000 ports of one source, shared by three processes: each takes what the others left.
need root netns
one_namespace
in_a sysctl -q -w net.ipv4.ip_local_port_range='40000 49999'
run 60 ports ip netns exec "$NS_A" "$BRINK" load --model mio -c 9600 --processes 3 --workload hold -d 500ms --warmup 0s \
    --source-ip 127.0.0.1 --format json
expect_rc ports 0 5
check_clean ports.out 9600

for how in KILL STOP; do
    bg "victim_$how" "$BRINK" load --model mio -c 300 --processes 3 --workload hold --heartbeat 1s -d 20s --warmup 0s \
        --timeout 2s --format json
    load=$LAST_PID
    wait_for 10 "three parts" has_parts "$load" 3
    wait_for 10 "the window" grep -q window "victim_$how.err"
    mapfile -t parts < <(parts_of "$load")
    kill "-$how" "${parts[1]}"
    if [[ $how == STOP ]]; then
        # Its heartbeats fail while it stands still; the run goes on when it does.
        sleep 4
        kill -CONT "${parts[1]}"
        reap 60 "$load"
        expect_rc "victim_$how" 0 1 5
    else
        reap 60 "$load"
        expect_rc "victim_$how" 1
        check_json "victim_$how.out" 'any("a process of the client died: signal: 9" in why for why in r["validity"]["reasons"])' \
            'its death is told'
    fi
    check_json "victim_$how.out" 'r["connections"]["requested"] == 300 and r["connections"]["opened"] == 300
        and r["connections"]["opened"] == r["connections"]["closed_early"] + r["connections"]["live_at_end"]' 'sums'
    wait_for 10 "the parts to end" all_gone "${parts[@]}"
done

# Interrupted: what there is is written and marked, and nobody is left; the one that conducts killed: nobody either.
for how in INT KILL; do
    bg "conduct_$how" "$BRINK" load --model mio -c 300 --processes 3 --target-processes 2 --workload hold --heartbeat 1s \
        -d 20s --warmup 0s --format json
    load=$LAST_PID
    wait_for 10 "the window" grep -q window "conduct_$how.err"
    mapfile -t kin < <(descendants "$load")
    kill "-$how" "$load"
    reap 20 "$load"
    if [[ $how == INT ]]; then
        expect_rc "conduct_$how" 130
        check_json "conduct_$how.out" 'r["interrupted"] and r["connections"]["opened"] == 300
            and r["requests"]["completed"] > 0' 'what was measured until then'
    fi
    wait_for 10 "all to end" all_gone "${kin[@]}"
done
