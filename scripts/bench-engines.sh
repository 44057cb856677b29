#!/usr/bin/env bash
# The client engines against one idle target, in turn (A B C .. A B C ..), so that a machine whose speed drifts treats
# all alike: how long 50 requests take that wait 0.1 s each, and what latency each engine sees under the same light
# load. Engines that see different latencies of one target measure themselves.
#
# usage: scripts/bench-engines.sh [ROUNDS]     needs python3
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-5}
brink=${BRINK:-target/release/brink}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
engines=(mio tokio threads pool sequential)
for round in $(seq "$rounds"); do
    for engine in "${engines[@]}"; do
        # A pool as large as the burst, else it is its own limit; sequential is one by nature.
        many=() few=()
        if [[ $engine == pool ]]; then many=(-t 50) few=(-t 20); fi
        "$brink" load --model threads --engine "$engine" "${many[@]}" --workload burst -c 50 --delay 100ms \
            --format json >"$work/burst.$engine.$round.json" 2>/dev/null || echo "burst $engine: exit $?" >&2
        # 200 requests/s over 20 connections: nobody waits for anybody.
        "$brink" load --model mio --engine "$engine" "${few[@]}" -c 20 --think 100ms -d 3s --warmup 500ms \
            --format json >"$work/closed.$engine.$round.json" 2>/dev/null || echo "closed $engine: exit $?" >&2
    done
done
python3 - "$work" <<'PY'
import glob, json, os, statistics, sys
runs = {}
for path in sorted(glob.glob(os.path.join(sys.argv[1], "*.json"))):
    text = open(path).read()
    if text:
        what, engine = os.path.basename(path).split(".")[:2]
        runs.setdefault((what, engine), []).append(json.loads(text))
def spread(values, scale):
    values = [v / scale for v in values if v is not None]
    return "/".join(f"{v:.4g}" for v in (min(values), statistics.median(values), max(values))) if values else "-"
print(f"{'engine':11} {'burst of 50 x 100 ms, ms':>26} {'closed, p50 us':>18} {'p99 us':>20} {'CPU s per 1,000':>20}   min/median/max")
for engine in ("mio", "tokio", "threads", "pool", "sequential"):
    burst, closed = runs.get(("burst", engine), []), runs.get(("closed", engine), [])
    cpu = []
    for r in closed:
        marks = {m["name"]: m["t_s"] for m in r["usage"]["phases"]}
        seen = [s for s in r["usage"]["client"] if marks["window"] <= s["t_s"] <= marks["drain"]]
        done = seen[-1]["requests"] - seen[0]["requests"] if len(seen) > 1 else 0
        if done > 0:
            cpu.append((seen[-1]["cpu_s"] - seen[0]["cpu_s"]) / done * 1000)
    latency = lambda name: [r["latency_ns"][name] for r in closed if r["latency_ns"]]
    print(f"{engine:11} {spread([r['makespan_ns'] for r in burst], 1e6):>26} {spread(latency('p50'), 1e3):>18} "
          f"{spread(latency('p99'), 1e3):>20} {spread(cpu, 1):>20}")
PY
