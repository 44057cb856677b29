#!/usr/bin/env bash
# The Python targets: the conformance test of the models, what each costs and holds, and how each ends.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need python3 cargo prlimit
targets=$DRILL_ROOT/scripts/targets

# Name of the file without its ending (@ and a word tell two styles of one file apart), and the flags it needs to serve all
# connections of a test at once.
styles=(
    "py_asyncio" "py_asyncio_blocking" "py_asyncio_executor --workers 64" "py_multiprocessing --processes 2"
    "py_multiprocessing@evenly --processes 2 --deal evenly" "py_threading" "py_threadpool --workers 1500"
)

workers_of() { python3 -c 'import json, sys; print(*json.loads(open(sys.argv[1]).readline())["workers"])' "$1.out"; }

# Clock ticks of CPU time, over all workers.
ticks_of() {
    local worker sum=0
    for worker in $(workers_of "$1"); do sum=$((sum + $(cpu_ticks "$worker"))); done
    echo "$sum"
}

# The prompt end, children included.
ends() { # NAME PID SIGNAL
    local worker workers began
    workers=$(workers_of "$1")
    began=$SECONDS
    kill "-$3" "$2"
    reap 3 "$2"
    ((RC == 0)) || fail "$1: SIG$3 ended it with $RC instead of 0: $(tail -n 1 "$1.err")"
    ((SECONDS - began <= 2)) || fail "$1: took $((SECONDS - began)) s to end after SIG$3"
    for worker in $workers; do wait_for 2 "the end of worker $worker of $1" gone "$worker"; done
    [[ ! -s $1.err ]] || fail "$1: complained: $(tail -n 1 "$1.err")"
}

for style in "${styles[@]}"; do
    read -r name flags <<<"$style"
    read -ra flags <<<"$flags"
    file=$targets/${name%@*}.py

    # The same test as the models, built already where the tests of the workspace have run.
    run 180 "conformance_$name" env BRINK_CONFORMANCE_COMMAND="python3 $file --port {port} ${flags[*]}" \
        cargo test --quiet --manifest-path "$DRILL_ROOT/Cargo.toml" -p brink-target --test it conform -- --nocapture
    [[ $RC == 0 ]] || fail "conformance_$name: $(grep -hm 1 -E '^error|FAILED' "conformance_$name".{err,out})"
    grep -Eq '^test result: ok\. [1-9]' "conformance_$name.out" || fail "conformance_$name: no test ran"

    # Under load, as any target: nothing fails, and every reply tells how long it waited. The requests of the one that
    # blocks its loop wait for one another.
    delay=20ms
    if [[ $name == py_asyncio_blocking ]]; then delay=200us; fi
    bg_target "$name" python3 "$file" "${flags[@]}"
    pid=$LAST_PID
    run 20 "load_$name" "$BRINK" load --target "$ADDRESS" -c 300 --delay "$delay" --think 100ms --warmup 500ms -d 2s \
        --format json
    expect_rc "load_$name" 0 5
    check_clean "load_$name.out" 300
    check_json "load_$name.out" 'r["requests"]["completed"] > 300 and r["delay_error_ns"]["p50"] >= 0'
    ends "$name" "$pid" TERM

    # Started and stopped by brink, which takes the processes to sample from the ready line.
    run 20 "cost_$name" "$BRINK" load --command "python3 $file --port {port} ${flags[*]}" -c 800 --workload hold -d 500ms \
        --warmup 200ms --format json
    expect_rc "cost_$name" 0 5
    check_clean "cost_$name.out" 800
    check_json "cost_$name.out" 'r["memory_per_connection"]["target"]["user_bytes"]["slope"] > 1000' 'memory of the target'
    show_json "cost_$name.out" '"    %.0f B/connection" % r["memory_per_connection"]["target"]["user_bytes"]["slope"]'

    # Out of descriptors it refuses by closing, does not spin, and goes on serving.
    bg_target "few_$name" prlimit --nofile=48:48 python3 "$file" "${flags[@]}"
    pid=$LAST_PID
    run 20 "few_load_$name" "$BRINK" load --target "$ADDRESS" -c 200 --workload hold --timeout 5s -d 500ms --no-preflight --format json
    expect_rc "few_load_$name" 1
    check_sums "few_load_$name.out"
    check_json "few_load_$name.out" '16 <= r["connections"]["opened"] < 120 and r["connections"]["failed"] > 0
        and all(f["errno"] in ("ECONNRESET", "EPIPE", "closed") for f in r["failures"])' 'out of descriptors'
    before=$(ticks_of "few_$name")
    sleep 1
    used=$(($(ticks_of "few_$name") - before))
    ((used <= 30)) || fail "few_$name: used $used ticks of CPU in a second of rest"
    run 20 "few_again_$name" "$BRINK" load --target "$ADDRESS" -c 10 -d 500ms --warmup 100ms --format json
    expect_rc "few_again_$name" 0 5
    check_clean "few_again_$name.out" 10
    ends "few_$name" "$pid" INT

    # One line that names the flag, and code 2.
    for bad in "--port 70000" "--delay 5" "--work 1ns" "--backlog x" "--nonsense"; do
        read -ra words <<<"$bad"
        run 5 "bad_$name" python3 "$file" "${words[@]}"
        expect_rc "bad_$name" 2
        expect_line "bad_$name" "^${name%@*}.py: .*${words[0]}"
        [[ $(wc -l <"bad_$name.err") == 1 && ! -s bad_$name.out ]] || fail "$name $bad: more than one line"
    done
done

# A forked worker does not outlive its parent, however that dies; and a dead worker is told of.
bg_target orphans python3 "$targets/py_multiprocessing.py" --processes 3
workers=$(workers_of orphans)
kill -KILL "$LAST_PID"
for worker in $workers; do wait_for 3 "the end of orphan $worker" gone "$worker"; done
bg_target bereft python3 "$targets/py_multiprocessing.py" --processes 2
pid=$LAST_PID
for worker in $(workers_of bereft); do kill -KILL "$worker"; done
reap 3 "$pid"
expect_rc bereft 1
[[ $(grep -c died bereft.err) == 2 ]] || fail "bereft: does not tell of both workers: $(cat bereft.err)"

# Dealt evenly, as many connections as there are processes keep all of them busy: by a hash they may all be with one.
bg_target even python3 "$targets/py_multiprocessing.py" --processes 3 --deal evenly
run 20 even_load "$BRINK" load --target "$ADDRESS" -c 3 --work 1ms --warmup 100ms -d 1s --format json
expect_rc even_load 0 5
check_clean even_load.out 3
all=$(ticks_of even)
for worker in $(workers_of even); do
    ticks=$(cpu_ticks "$worker")
    ((6 * ticks >= all)) || fail "even: worker $worker used $ticks of $all ticks of CPU, with a third of the connections"
done
