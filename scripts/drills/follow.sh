#!/usr/bin/env bash
# Who follows a run: a terminal that is held or changes its width keeps nobody from measuring and is left clean; a pipe
# that nobody reads likewise; and an independent reader finds the results' percentiles in the HdrHistogram log.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need python3

cat >sweep.toml <<'TOML'
name = "follow"
seed = 1
repeats = 2

[[target]]
model = "mio"

[load]
connections = 20
delay = "5ms"
warmup = "100ms"
duration = "2500ms"
TOML

follow() { # WHAT ...
    python3 "$drills_dir/follow.py" "$@" >follow.out 2>&1 || fail "follow.py $1: $(tail -n 1 follow.out | cut -c 1-300)"
    sed 's/^/    /' follow.out
}

# No two samples of the client are further apart than this, although four of five a second are missing then.
seen_all_along() { # RESULT
    check_json "$1" 'max(b["t_s"] - a["t_s"] for a, b in zip(r["usage"]["client"], r["usage"]["client"][1:])) < 1.0
        and r["connections"]["opened"] == 20 and r["requests"]["failed"] == 0 and r["usage"]["phases"][-1]["name"] == "close"'
}

follow held 5 "$BRINK" load --model mio -c 20 --delay 5ms -d 3s --warmup 100ms -o held_load
seen_all_along held_load/001-mio-c20.json
follow held 8 "$BRINK" sweep sweep.toml -o held_sweep
for result in held_sweep/0*.json; do seen_all_along "$result"; done
[[ $(find held_sweep -name '0*.json' | wc -l) == 2 ]] || fail "not both cases of the sweep ran while its terminal was held"

follow resized "$BRINK" sweep sweep.toml -o resized --hdr-log sweep.hlog
follow hdr sweep.hlog resized/0*.json
run 10 report "$BRINK" report resized --hdr-log again.hlog
expect_rc report 0
follow hdr again.hlog resized/0*.json

# Nobody reads what --ndjson writes into a pipe: it is said, and the run ends as it would.
mkfifo unread
bg reader bash -c 'exec sleep 60 <unread'
reader=$LAST_PID
run 20 unread "$BRINK" load --model mio -q -c 20 --delay 5ms -d 2s --warmup 0s --ndjson unread -o unread_load
[[ $RC == 0 || $RC == 5 ]] || fail "with a pipe that nobody reads: ended with $RC"
seen_all_along unread_load/001-mio-c20.json
end "$reader"
