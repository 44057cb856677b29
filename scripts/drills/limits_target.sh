#!/usr/bin/env bash
# What the target does itself: bounds of its own, a short queue, a crash, a halt. None of it is a limit of the system.
# shellcheck source-path=SCRIPTDIR source=limits_lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/limits_lib.sh"
need python3 "$PYTHON"

# A bound that it was given.
for model in mio threads hyper; do
    climb "max_$model" 500 -- --model "$model" --max-connections 300
    expect "max_$model" limit=target.max_connections end=target confidence=confirmed value=300 observed=300..300
done
a_target bounded -- --model tokio --max-connections 300
climb max_told 500 -- "${AT[@]}"
expect max_told limit=target.max_connections end=target confidence=confirmed value=300 observed=300..300
climb max_enough 300 -- "${AT[@]}"
expect_none max_enough 300
end_target

# Workers that each serve one connection until it closes: starvation, and nothing of the system's.
PATIENCE=1s climb pool_short 300 -- --model pool --target-threads 100
expect pool_short limit=target.pool_workers end=target confidence=confirmed value=100 observed=100..100 errno=timeout
climb pool_enough 300 -- --model pool --target-threads 300
expect_none pool_enough 300

# It crashes in mid-climb: no limit, and the evidence says so. With few connects under way at once all but a few were
# served before it did.
climb crash 1000 -- --connect-window 8 --command "$PYTHON $drills_dir/odd_server.py --listen 127.0.0.1:{port} --at 300 --do crash"
expect crash limit=unknown end=target confidence=unknown evidence=crash predicted=no after=dead stopped_by=target_died observed=290..300
climb exit 1000 -- --connect-window 8 --command "$PYTHON $drills_dir/odd_server.py --listen 127.0.0.1:{port} --at 300 --do exit"
expect exit limit=unknown end=target confidence=unknown 'evidence=status 3' predicted=no after=dead stopped_by=target_died observed=290..300
# One that brink did not start: how it ended is not for it to know, but that it did.
a_stranger crasher -- "$drills_dir/odd_server.py" --at 300 --do crash
climb crash_stranger 1000 -- "${AT[@]}" --connect-window 8
expect crash_stranger limit=unknown end=target confidence=unknown predicted=no after=dead stopped_by=target_died observed=290..300
# Somebody kills one of brink's: not for want of memory.
bg killed timeout --kill-after=3 40 "$BRINK" "${CLIMB[@]}" --timeout 2s --stop-at 4000 --connect-rate 1000 --model mio
load=$LAST_PID
of_target=
target_holds() { # COUNT
    local pid
    for pid in $(descendants "$load"); do
        if tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -q ' target '; then of_target=$pid; fi
    done
    [[ -n $of_target ]] && (($(find "/proc/$of_target/fd" -mindepth 1 -maxdepth 1 | wc -l) >= $1))
}
wait_for 20 "a target with 500 connections" target_holds 500
kill -KILL "$of_target"
reap 40 "$load"
expect killed limit=unknown end=target confidence=unknown evidence=SIGKILL predicted=no after=dead stopped_by=target_died observed=300..4000

# It is stopped.
PATIENCE=1s climb stopped 1000 -- --command "$PYTHON $drills_dir/odd_server.py --listen 127.0.0.1:{port} --at 300 --do stop"
expect stopped limit=target.not_scheduled end=target confidence=confirmed predicted=no after=silent 'fix=kill -CONT' observed=290..300
a_stranger stopper -- "$drills_dir/odd_server.py" --at 300 --do stop
PATIENCE=1s climb stopped_stranger 1000 -- "${AT[@]}"
expect stopped_stranger limit=target.not_scheduled end=target confidence=confirmed predicted=no after=silent 'fix=kill -CONT' observed=290..300
end_target
a_target halted -- --model tokio
bg stopped_brink timeout --kill-after=3 100 "$BRINK" "${CLIMB[@]}" --timeout 1s --stop-at 4000 --connect-rate 1000 "${AT[@]}"
load=$LAST_PID
full() { (($(find "/proc/$TARGET_PID/fd" -mindepth 1 -maxdepth 1 | wc -l) >= 500)); }
wait_for 20 "a target with 500 connections" full
kill -STOP "$TARGET_PID"
reap 100 "$load"
kill -CONT "$TARGET_PID"
expect stopped_brink limit=target.not_scheduled end=target confidence=confirmed predicted=no after=silent 'fix=kill -CONT' observed=300..4000
# The negative control of both: the same server, to whom nothing happens.
climb healthy 1000 -- --command "$PYTHON $drills_dir/odd_server.py --listen 127.0.0.1:{port}"
expect_none healthy 1000
rows_done
