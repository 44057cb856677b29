#!/usr/bin/env bash
# What the other connections wait while one request blocks: about as long as it, where one thread serves all; and not, where each
# has its own or the wait is put off. 20 connections at 200 requests/s beside one that asks for 200 ms twice a second, five times:
# two fifths of the time are blocked, so that the median of what is due is not, and its p99 is.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need python3

load() { # NAME BACKGROUND FLAG...
    local name=$1 background=$2 code=0
    shift 2
    "$BRINK" load -c 20 --rate 200 -d 4s --warmup 1s --format json --background "$background" "$@" \
        >"$name.json" 2>"$name.log" || code=$?
    # 5: it is unsteady by nature.
    if ((code != 0 && code != 5)); then tail -n 3 "$name.log"; fail "$name ended with $code"; fi
}

targets=$DRILL_ROOT/scripts/targets
python() { # NAME BACKGROUND
    load "$1" "$2" --command "python3 $targets/$1.py --port {port}"
}

load tokio-local-work rate=2,work=200ms --model tokio-local
load tokio-local-delay rate=2,delay=200ms --model tokio-local
load tokio-blocking rate=2,delay=200ms --model tokio-blocking
load tokio-offload rate=2,delay=200ms --model tokio-offload
load threads-delay rate=2,delay=200ms --model threads
load threads-work rate=2,work=200ms --model threads
python py_asyncio_blocking rate=2,delay=200ms
python py_asyncio_executor rate=2,delay=200ms

python3 - <<'PY'
import json, sys

BLOCKED = {"tokio-local-work", "tokio-blocking", "py_asyncio_blocking"}
NAMES = ["tokio-local-work", "tokio-local-delay", "tokio-blocking", "tokio-offload", "threads-delay", "threads-work",
         "py_asyncio_blocking", "py_asyncio_executor"]
wrong = []
for name in NAMES:
    with open(name + ".json", encoding="utf-8") as file:
        result = json.load(file)
    seen, latency = result["background"], result["latency_ns"]
    live = max(s.get("latency_p99_ns") or 0 for s in result["usage"]["client"])
    p99_ms, live_ms, own_ms = latency["p99"] / 1e6, live / 1e6, seen["latency_ns"]["p50"] / 1e6
    print("%-20s p50 %6.1f ms, p99 %6.1f ms, live p99 at most %6.1f ms; background %d answered, p50 %.1f ms; %s" % (
        name, latency["p50"] / 1e6, p99_ms, live_ms, seen["requests"]["completed"], own_ms, result["validity"]["verdict"]))
    # The last arrivals of a block wait little, the first ones all of it: p99 is near the whole.
    is_blocked = 150 < p99_ms < 400 and 150 < live_ms < 400
    is_free = p99_ms < 100
    if not (is_blocked if name in BLOCKED else is_free):
        wrong.append(name)
    if seen["requests"]["completed"] < 6 or seen["requests"]["failed"] or own_ms < 190:
        wrong.append(name + "'s background")
if wrong:
    sys.exit("FAIL: not as it must be: " + ", ".join(wrong))
PY
