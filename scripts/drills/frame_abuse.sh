#!/usr/bin/env bash
# Bytes that are no frames, frames that never end, connections that never send: the target stays, and counts them.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need python3

# shellcheck disable=SC2046 # flags are words
for model in $(frame_models); do
    bg_target "target_$model" "$BRINK" target --model "$model" $(model_flags "$model") --listen 127.0.0.1:0
    target=$LAST_PID
    at=(--target "$ADDRESS" --control "$CONTROL")
    resident() { awk '/^RssAnon:/ { print $2 }' "/proc/$target/status"; }
    before=$(resident)
    # Its stdin is a pipe that stays open: until it closes, the abusers keep their connections.
    mkfifo "hold_$model"
    exec 9<>"hold_$model"
    python3 "$drills_dir/abuse.py" "$ADDRESS" <"hold_$model" >"abuse_$model.out" 2>"abuse_$model.err" &
    abuser=$!
    started+=("$abuser")
    echo "$abuser $(started_at "$abuser")" >>"$DRILL_WORK/pids"
    abused() { grep -q bad "abuse_$model.out" || ! alive "$abuser"; }
    wait_for 40 "$model: the end of the abuse" abused
    [[ -s abuse_$model.out ]] || fail "$model: $(tail -n 1 "abuse_$model.err")"
    alive "$target" || fail "$model: the target did not survive: $(tail -n 1 "target_$model.err")"
    check_json "abuse_$model.out" 'all(r["closed"].values())' "$model: each bad frame ends its connection"
    check_json "abuse_$model.out" 'r["slow_echoed"]' "$model: a slow frame is echoed"
    check_json "abuse_$model.out" 'r["half_open_echoed"]' "$model: a half-open connection gets its answer"
    grown=$(($(resident) - before))
    echo "    $model: anonymous memory grew by $grown KiB; $(cat "abuse_$model.out")"
    ((grown < 48 * 1024)) || fail "$model: a client that does not read made the target grow by $grown KiB"

    get "http://$CONTROL/v1/usage" "usage_$model.json"
    check_json "usage_$model.json" 'r["counters"]["frame_errors"] == 10 and 200 <= r["counters"]["live"] <= 204
        and {"oversize", "bad_magic", "bad_version", "bad_header_len"}
            <= {x["error"] for x in r["counters"]["refusals"] if x["phase"] == "frame"}' "$model: frame errors"

    load=("$BRINK" load "${at[@]}" -c 50 --think 20ms --warmup 100ms -d 500ms --format json)
    echoes() { # FILE
        check_json "$1" 'r["connections"]["opened"] == 50 and r["requests"]["failed"] == 0
            and r["requests"]["completed"] > 500 and r["connections"]["closed_early"] == 0' "$model: echoes afterwards"
    }
    # With the 200 still there, for one model: strangers on the target keep a run from seeing it at rest,
    # which takes long.
    if [[ $model == mio ]]; then
        run 40 beside_mio "${load[@]}"
        expect_rc beside_mio 0 5
        echoes beside_mio.out
    fi
    exec 9>&-
    end "$abuser"
    nobody_left() {
        get "http://$CONTROL/v1/usage" "left_$model.json"
        check_json "left_$model.json" 'r["counters"]["live"] == 0'
    }
    nobody() { (nobody_left); }
    wait_for 5 "$model: no connection counted as open once all have gone" nobody
    run 15 "load_$model" "${load[@]}"
    expect_rc "load_$model" 0 5
    echoes "load_$model.out"
    end "$target"
done
