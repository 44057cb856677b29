#!/usr/bin/env bash
# What brink records against what the kernel saw on the wire of the same run: as many requests and replies, and a p50 that is
# not below that of the wire, nor above it by more than 20 us and as much again as was on the wire, which allows for a slow machine.
# scripts/bench-accuracy.sh measures it for its own sake.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need root netns python3 chrt
[[ -w /dev/cpu_dma_latency ]] || fail "prerequisite missing: /dev/cpu_dma_latency"
accuracy=$DRILL_ROOT/scripts/accuracy.py
port=7000
mapfile -t cpus < <(python3 -c 'import os; print(*sorted(os.sched_getaffinity(0)), sep="\n")')
((${#cpus[@]} >= 2)) || fail "prerequisite missing: two CPUs"
one_namespace
# Other programs on these CPUs, and CPUs that take their time to wake up, are not what is asked about.
exec {latency}>/dev/cpu_dma_latency
printf '\0\0\0\0' >&"$latency"
alone=(ip netns exec "$NS_A" chrt --fifo 1)

bg_target target "${alone[@]}" "$BRINK" target --model mio --threads 1 --cpus "${cpus[1]}" --listen 127.0.0.1:$port

watched() { # NAME FLAG ...
    local name=$1 witness
    bg "$name.watch" ip netns exec "$NS_A" python3 "$accuracy" watch $port "$name.watched"
    witness=$LAST_PID
    wait_for 10 "the witness" grep -q watching "$name.watch.out"
    run 20 "$name" "${alone[@]}" "$BRINK" load --target 127.0.0.1:$port -t 1 --cpus "${cpus[0]}" "${@:2}" -q --format json
    # How steady a busy machine was is not asked here.
    expect_rc "$name" 0 5
    kill -TERM "$witness"
    reap 20 "$witness"
    expect_rc "$name.watch" 0
}

# Counts have to agree each time; a p50, on a machine that others use, once in three.
agree() { # NAME FLAG ...
    local name=$1 try
    for try in 1 2 3; do
        watched "$name.$try" "${@:2}"
        RC=0
        python3 "$accuracy" compare "$name.$try.watched" "$name.$try.out" >"$name.$try.said" || RC=$?
        cat "$name.$try.said"
        if [[ $RC == 0 ]]; then
            python3 "$accuracy" selftest "$name.$try.watched" "$name.$try.out" || fail "$name: the comparison cannot fail"
            return
        fi
        if grep 'wrong:' "$name.$try.said" | grep -qv 'wrong: p50:'; then break; fi
    done
    fail "$name: $(sed -n 's/^ *wrong: //p' "$name.$try.said" | tail -n 1)"
}

# From the send, and the count of requests is asked for: so many on the wire, too.
agree closed -c 1 --think 500us -n 4000
check_json closed.1.out 'r["requests"]["completed"] == 4000 and r["usage"]["client"][-1]["requests"] == 4000'
# From when they are due.
agree open -c 100 -r 2000 -d 2s
