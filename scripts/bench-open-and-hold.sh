#!/usr/bin/env bash
# How fast connections open and what an idle one costs each end, model against model in turn
# (A B C A B C ..), so that a machine whose speed drifts treats all alike.
#
# usage: scripts/bench-open-and-hold.sh [CONNECTIONS [ROUNDS]]     needs python3
set -euo pipefail
cd "$(dirname "$0")/.."
connections=${1:-10000} rounds=${2:-3}
brink=${BRINK:-target/release/brink}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for round in $(seq "$rounds"); do
    for model in threads tokio mio; do
        "$brink" load --model "$model" -c "$connections" --workload hold -d 1s --warmup 0s \
            --format json >"$work/$model-$round.json" 2>/dev/null || echo "$model: exit $?" >&2
    done
done
python3 - "$work" <<'PY'
import glob, json, os, statistics, sys
runs = {}
for path in sorted(glob.glob(os.path.join(sys.argv[1], "*.json"))):
    text = open(path).read()
    if text:
        runs.setdefault(os.path.basename(path).split("-")[0], []).append(json.loads(text))
print(f"{'model':8} {'opened':>8} {'failed':>6} {'seconds to open':>22} {'client B/conn':>16} {'target B/conn':>20}   min median max")
for model, results in sorted(runs.items()):
    def spread(values):
        values = [v for v in values if v is not None]
        return "/".join(f"{v:.4g}" for v in (min(values), statistics.median(values), max(values))) if values else "-"
    opened = [r["connections"]["opened"] for r in results]
    seconds = [r["connections"]["opened"] / r["connections"]["connect_per_s"] for r in results if r["connections"]["connect_per_s"]]
    slope = lambda end: [(r["memory_per_connection"][end]["user_bytes"] or {}).get("slope") for r in results]
    failed = sum(r["connections"]["failed"] for r in results)
    print(f"{model:8} {min(opened):>8} {failed:>6} {spread(seconds):>22} {spread(slope('client')):>16} {spread(slope('target')):>20}")
PY
