#!/usr/bin/env bash
# A target, and a client, that run out of descriptors: it is seen, named, survived and over afterwards.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need python3 prlimit
hz=$(getconf CLK_TCK)

# shellcheck disable=SC2046 # flags are words
for model in $(models); do
    bg_target "target_$model" prlimit --nofile=500:500 "$BRINK" target --model "$model" $(model_flags "$model") \
        --listen 127.0.0.1:0
    target=$LAST_PID
    at=(--target "$ADDRESS" --control "$CONTROL")

    # Twice where the first time is too much: CPUs that others of the same hardware take are counted as the target's, and
    # one that spins does so each time.
    for attempt in first second; do
        bg "hold_$model" timeout --kill-after=3 25 "$BRINK" load "${at[@]}" --no-preflight -c 1000 --workload hold \
            --heartbeat 500ms --warmup 500ms -d 3s --timeout 3s --format json
        load=$LAST_PID
        # A full target takes no new connection to its control plane either; its /proc tells.
        full() { (($(find "/proc/$target/fd" -mindepth 1 -maxdepth 1 | wc -l) >= 490)); }
        wait_for 15 "$model: a target without descriptors" full

        # Others who keep knocking at the full target must not cost it a core.
        before=$(cpu_ticks "$target")
        run 10 "flood_$model" python3 "$drills_dir/flood.py" "$ADDRESS" 2
        expect_rc "flood_$model" 0
        ticks=$(($(cpu_ticks "$target") - before))
        echo "    $model: $ticks of $((2 * hz)) ticks of CPU while refusing; $(cat "flood_$model.out")"
        check_json "flood_$model.out" 'r["refused"] > 0' "$model: refuses others while full"
        reap 25 "$load"
        expect_rc "hold_$model" 1
        ((ticks * 100 > 20 * 2 * hz)) || break
        if [[ $attempt == second ]]; then
            fail "$model: used $((ticks * 100 / (2 * hz)))% of a core while refusing: $(cat "flood_$model.out")"
        fi
    done

    result=hold_$model.out
    check_sums "$result"
    check_json "$result" '400 < r["connections"]["opened"] < 500 and r["connections"]["closed_early"] == 0' "$model"
    check_json "$result" 'r["requests"]["completed"] > 1000 and r["requests"]["failed"] == 0' \
        "$model: the open ones go on echoing"
    check_json "$result" 'r["failure_point"]["limit"] == "rlimit.nofile" and r["failure_point"]["end"] == "target"
        and r["failure_point"]["limit_value"] == 500 and r["failure_point"]["errno"] == "EMFILE"
        and r["failure_point"]["confidence"] in ("confirmed", "likely") and r["failure_point"]["fix"]
        and 400 < r["failure_point"]["at_connections"] < 500' "$model"
    check_json "$result" 'r["validity"]["verdict"] == "limit_bound"' "$model"

    alive "$target" || fail "$model: the target did not survive"
    run 15 "again_$model" "$BRINK" load "${at[@]}" -c 100 --think 20ms --warmup 100ms -d 500ms --format json
    expect_rc "again_$model" 0 5
    check_json "again_$model.out" 'r["connections"]["opened"] == 100 and r["connections"]["closed_early"] == 0
        and r["requests"]["failed"] == 0' "$model: a second load"
    end "$target"
done

# The client's turn.
bg_target roomy "$BRINK" target --model mio --listen 127.0.0.1:0
run 25 client prlimit --nofile=500:500 "$BRINK" load --target "$ADDRESS" --control "$CONTROL" --no-preflight -c 1000 \
    --workload hold --warmup 200ms -d 1s --format json
expect_rc client 1
check_sums client.out
check_json client.out '400 < r["connections"]["opened"] < 500 and r["connections"]["closed_early"] == 0'
check_json client.out 'r["failure_point"]["limit"] == "rlimit.nofile" and r["failure_point"]["end"] == "client"
    and r["failure_point"]["limit_value"] == 500 and r["failure_point"]["errno"] == "EMFILE"
    and r["failure_point"]["confidence"] in ("confirmed", "likely") and r["failure_point"]["fix"]'

# What the target refused before a run began is not that run's failure.
for model in $(models); do
    check_json "again_$model.out" 'r["failures"] == [] and r["failure_point"] is None' \
        "$model: a clean load after one that failed"
done
