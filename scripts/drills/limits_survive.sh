#!/usr/bin/env bash
# A target that is out of descriptors or of threads: what it has it goes on serving, refusing costs it next to no CPU
# whether somebody knocks or not, and when connections close new ones are taken at once.
# shellcheck source-path=SCRIPTDIR source=limits_lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/limits_lib.sh"
need root python3 prlimit
hz=$(getconf CLK_TCK)
# Of one core.
CPU_PERCENT_MAX=20

fds() { find "/proc/$TARGET_PID/fd" -mindepth 1 -maxdepth 1 | wc -l; }

# CPU that the target takes while a program runs, in percent of a core; in PERCENT afterwards.
PERCENT=
cpu_during() { # NAME PROGRAM ...
    local name=$1 before began after
    shift
    before=$(cpu_ticks "$TARGET_PID")
    began=$(date +%s%N)
    run 10 "$name" "$@"
    after=$(($(date +%s%N) - began))
    PERCENT=$((($(cpu_ticks "$TARGET_PID") - before) * 100 * 1000000000 / hz / after))
}

# The target that was started last, which cannot hold more than some 300 connections.
survives() { # NAME ERRNO
    local name=$1 errno=$2 load wrong='' idle knocked held
    bg "$name.hold" timeout --kill-after=3 30 "$BRINK" load "${AT[@]}" --no-preflight -c 600 --workload hold --heartbeat 500ms \
        --warmup 200ms -d 6s --timeout 1s --format json
    load=$LAST_PID
    wait_for 15 "$name: the window" grep -q window "$name.hold.err"
    held=$(fds)
    cpu_during "$name.nobody" sleep 1
    idle=$PERCENT
    cpu_during "$name.flood" python3 "$drills_dir/flood.py" "$ADDRESS" 1.5
    expect_rc "$name.flood" 0
    if ((PERCENT > CPU_PERCENT_MAX)); then
        # Who spins does so twice; once may be CPU time that others took.
        cpu_during "$name.flood" python3 "$drills_dir/flood.py" "$ADDRESS" 1.5
        expect_rc "$name.flood" 0
    fi
    knocked=$PERCENT
    # Where others want the CPUs too, threads take their time to end.
    make_busy
    wait "$load" || true
    # At once: no pause between the last close and the first connect but that of starting a program.
    run 15 "$name.again" "$BRINK" load "${AT[@]}" -c 200 --think 20ms --warmup 100ms -d 300ms --timeout 1s --format json
    at_ease
    rows=$((rows + 1))
    ((idle <= CPU_PERCENT_MAX)) || wrong+=" WRONG: $idle% CPU while nobody knocks"
    ((knocked <= CPU_PERCENT_MAX)) || wrong+=" WRONG: $knocked% CPU while somebody knocks"
    timeout --foreground 20 python3 "$tool" check "$name.hold.out" "any(f['errno'] == '$errno' for f in r['failures'])
        and r['connections']['opened'] > 200 and r['connections']['closed_early'] == 0 and r['requests']['failed'] == 0
        and r['requests']['completed'] >= 6 * r['connections']['opened']" || wrong+=" WRONG: the open ones do not go on echoing"
    timeout --foreground 20 python3 "$tool" check "$name.again.out" "r['connections']['opened'] == 200 and r['failures'] == []
        and r['failure_point'] is None" || wrong+=" WRONG: it does not take new ones again"
    echo "row: $name: $errno, $held descriptors, CPU $idle% while nobody knocks and $knocked% while somebody does:" \
        "$(cat "$name.flood.out")$wrong"
    if [[ -n $wrong ]]; then wrong_rows+=("$name"); fi
}

for model in tokio mio threads pool; do
    # shellcheck disable=SC2046 # flags are words
    a_target "emfile_$model.target" prlimit --nofile=300:300 -- --model "$model" $(model_flags "$model")
    survives "emfile_$model" EMFILE
    end_target
done
for model in threads pool; do
    make_group pids "$model"
    echo 300 >"$GROUP/pids.max"
    # shellcheck disable=SC2046
    a_target "eagain_$model.target" "${into[@]}" "$GROUP" -- --model "$model" $(model_flags "$model")
    check_group "$TARGET_PID" "$GROUP"
    survives "eagain_$model" EAGAIN
    end_target
done
rows_done
