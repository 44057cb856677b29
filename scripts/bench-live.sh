#!/usr/bin/env bash
# Whether live counting costs the client anything: two programs in turn (A B A B ..), so that a machine whose speed drifts
# treats both alike. A closed loop without a wait, at 64 and at 1,000 connections: the client's CPU-seconds per million
# requests, taken from the samples of the window, and the requests/s.
#
# usage: scripts/bench-live.sh OLD NEW [ROUNDS]     needs python3, two CPUs, and a machine that does nothing else
set -euo pipefail
old=${1:?usage: scripts/bench-live.sh OLD NEW [ROUNDS]} new=${2:?usage: scripts/bench-live.sh OLD NEW [ROUNDS]}
rounds=${3:-10}
engines=${ENGINES:-mio tokio}
seconds=${SECONDS_EACH:-5}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "load average before: $(cut -d ' ' -f 1-3 /proc/loadavg)"
for round in $(seq "$rounds"); do
    for engine in $engines; do
        for connections in 64 1000; do
            for side in old new; do
                "${!side}" load --model mio --engine "$engine" -c "$connections" -t 1 --cpus 0 --target-cpus 1 \
                    -d "${seconds}s" --warmup 500ms --no-preflight --format json \
                    >"$work/$engine.$connections.$side.$round.json" 2>/dev/null || true
            done
        done
    done
done
echo "load average after: $(cut -d ' ' -f 1-3 /proc/loadavg)"
python3 - "$work" <<'PY'
import glob, json, os, random, statistics, sys
runs = {}
for path in glob.glob(os.path.join(sys.argv[1], "*.json")):
    text = open(path).read()
    if not text:
        continue
    engine, connections, side, number = os.path.basename(path).split(".")[:4]
    r = json.loads(text)
    marks = {m["name"]: m["t_s"] for m in r["usage"]["phases"]}
    seen = [s for s in r["usage"]["client"] if marks["window"] <= s["t_s"] <= marks["drain"]]
    done = seen[-1]["requests"] - seen[0]["requests"]
    runs[engine, int(connections), int(number), side] = (
        (seen[-1]["cpu_s"] - seen[0]["cpu_s"]) / done * 1e6, r["requests"]["per_s"])
def interval(ratios):
    random.seed(1)
    medians = sorted(statistics.median(random.choices(ratios, k=len(ratios))) for _ in range(2000))
    return medians[49], medians[1949]
print(f"{'engine':8}{'conns':>7}{'CPU s/million old':>19}{'new':>8}{'new/old':>9}  {'95%':15}{'requests/s new/old':>19}")
for engine, connections in sorted({key[:2] for key in runs}):
    pairs = [(runs[engine, connections, n, "old"], runs[engine, connections, n, "new"])
             for n in sorted({key[2] for key in runs}) if (engine, connections, n, "old") in runs
             and (engine, connections, n, "new") in runs]
    cpu = [b[0] / a[0] for a, b in pairs]
    low, high = interval(cpu)
    print(f"{engine:8}{connections:>7}{statistics.median(a[0] for a, _ in pairs):>19.3f}"
          f"{statistics.median(b[0] for _, b in pairs):>8.3f}{statistics.median(cpu):>9.3f}  {low:.3f}..{high:.3f}   "
          f"{statistics.median(b[1] / a[1] for a, b in pairs):>17.3f}")
PY
