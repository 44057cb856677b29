#!/usr/bin/env bash
# How late an open loop sends at 10,000 requests/s, and how far what brink records is from what the kernel saw on the wire
# (scripts/accuracy.py). Both ends are pinned to a CPU each, in a network namespace of their own. In a virtual machine waking
# up takes a CPU tens of microseconds, of which brink records its own. So all is measured three times: with a client that stays
# awake (--busy-poll; an open loop on a CPU of its own does so unasked); with one that sleeps; and with one that sleeps while the
# CPUs are kept awake (/dev/cpu_dma_latency, as cyclictest(8) has it).
#
# usage: scripts/bench-accuracy.sh [-o DIR] [-f] [ROUNDS]     needs root, ip, python3, two CPUs that do nothing else
#   -o DIR   keep the results, accuracy.json and accuracy.md there
#   -f       run both ends as real-time threads (SCHED_FIFO), for a machine whose CPUs are used by others meanwhile; the client
#            then sleeps always
# Ends with 0 only if what is asked was kept by a client that stays awake (with -f: with CPUs kept awake): a lag under 100 us at
# p99, and p50 within 20 us of the wire.
set -euo pipefail
cd "$(dirname "$0")/.."
out='' first=()
while getopts o:f flag; do
    case $flag in
        o) out=$OPTARG ;;
        f) first=(chrt --fifo 1) ;;
        *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
rounds=${1:-3}
brink=${BRINK:-target/release/brink}
seconds=${SECONDS_EACH:-5}
port=7000
[[ $(id -u) == 0 ]] || { echo "bench-accuracy.sh: needs root: packet(7), ip-netns(8)" >&2; exit 2; }
mapfile -t cpus < <(python3 -c 'import os; print(*sorted(os.sched_getaffinity(0)), sep="\n")')
((${#cpus[@]} >= 2)) || { echo "bench-accuracy.sh: needs two CPUs" >&2; exit 2; }

work=$(mktemp -d)
ns=brink-accuracy-$$
started=()
end() { # PID
    kill -TERM "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}
cleanup() {
    for pid in "${started[@]}"; do end "$pid"; done
    ip netns del "$ns" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

ip netns add "$ns"
ip netns exec "$ns" ip link set lo up
wait_for() { # FILE WORD
    for _ in $(seq 100); do
        if grep -q "$2" "$1" 2>/dev/null; then return; fi
        sleep 0.05
    done
    echo "bench-accuracy.sh: $1 does not say $2" >&2
    exit 1
}

ip netns exec "$ns" "${first[@]}" "$brink" target --model mio --threads 1 --cpus "${cpus[1]}" --listen 127.0.0.1:$port \
    >"$work/target.out" 2>"$work/target.err" &
started+=($!)
wait_for "$work/target.out" address

load() { # RESULT FLAG ...
    local code=0
    ip netns exec "$ns" "${first[@]}" "$brink" load --target 127.0.0.1:$port -t 1 --cpus "${cpus[0]}" "${@:2}" \
        -q --format json >"$1" 2>"$work/load.err" || code=$?
    # 5: measured, and something kept it from being a steady figure, which the result says.
    if ((code != 0 && code != 5)); then
        cat "$work/load.err" >&2
        exit 1
    fi
}

watched() { # NAME FLAG ...
    local witness
    ip netns exec "$ns" python3 scripts/accuracy.py watch $port "$work/$1.watched.json" >"$work/$1.watch" &
    witness=$!
    started+=("$witness")
    wait_for "$work/$1.watch" watching
    load "$work/$1.result.json" "${@:2}"
    end "$witness"
}

measure() { # HOW ROUND
    local open=() closed=()
    case $1 in
        polling) closed=(--busy-poll 1ms) ;;
        *) open=(--busy-poll 0s) ;;
    esac
    load "$work/$1.open_10k.$2.lag.json" -c 100 -r 10k -d "${seconds}s" "${open[@]}"
    # Closed loops, from the send. One connection: nobody waits for anybody.
    watched "$1.closed_1.$2" -c 1 --think 500us -d "${seconds}s" "${closed[@]}"
    watched "$1.closed_100.$2" -c 100 --think 50ms -d "${seconds}s" "${closed[@]}"
    # Open loops, from when a request is due.
    watched "$1.open_2k.$2" -c 100 -r 2k -d "${seconds}s" "${open[@]}"
    watched "$1.open_10k.$2" -c 100 -r 10k -d "${seconds}s" "${open[@]}"
}

for round in $(seq "$rounds"); do
    echo "round $round of $rounds" >&2
    # A real-time thread that does not sleep keeps the client's others from their CPU: sched(7).
    if ((${#first[@]} == 0)); then measure polling "$round"; fi
    measure sleeping "$round"
    # Held open, it asks that no CPU takes longer than 0 us to wake up: Documentation/power/pm_qos_interface.rst.
    exec {latency}>/dev/cpu_dma_latency
    printf '\0\0\0\0' >&"$latency"
    measure awake "$round"
    exec {latency}>&-
done
code=0
python3 scripts/accuracy.py report "$work" || code=$?
if [[ -n $out ]]; then
    mkdir -p "$out"
    cp "$work"/accuracy.json "$work"/accuracy.md "$out"/
fi
exit "$code"
