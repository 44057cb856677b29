#!/usr/bin/env bash
# Is `brink compare` right? The same sweep again and again: how many comparisons of neighbours say "no difference". And
# with a target that works 10% longer on each request: how many comparisons of throughput and p50 say "worse".
#
# usage: scripts/bench-compare.sh [ROUNDS] [WINDOW]      needs python3 and an idle machine
#
# KEEP=DIR keeps all results in DIR; with results of as many rounds there already, they are only compared again.
#
# A round is three sweeps (plain, plain, slowed) of four cases, three repeats each: with a WINDOW of 2s (the default)
# about two minutes. Ten rounds (the default) give some 500 comparisons of like with like and 80 with the slowed one.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-10}
window=${2:-2s}
brink=${BRINK:-target/release/brink}
[[ $rounds =~ ^[1-9][0-9]{0,2}$ ]] || { echo "ROUNDS: \`$rounds\` is not a number from 1 to 999" >&2; exit 2; }
[[ -x $brink ]] || { echo "$brink is not there: build it, or name another in BRINK" >&2; exit 2; }
if [[ -n ${KEEP:-} ]]; then
    mkdir -p "$KEEP" && work=$(cd "$KEEP" && pwd)
else
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
fi

# Pinned apart where there are two CPUs, so that the target's work is all that the target's CPU does.
mapfile -t cpus < <(python3 -c 'import os; print(*sorted(os.sched_getaffinity(0)), sep="\n")')
pin_target='' pin_client=''
if ((${#cpus[@]} >= 2)); then pin_client="cpus = \"${cpus[0]}\"" pin_target="cpus = \"${cpus[1]}\""; fi

# A millisecond of work for each request bounds the target's one thread at 1,000 requests/s, with and without a delay, and is
# nearly all that a request takes: a tenth more of it makes the target 10% slower.
sweep() { # FOLDER WORK SEED
    local model code=0
    if [[ -f $1/report.html ]]; then return; fi
    {
        printf 'name = "compare"\nseed = %s\nrepeats = 3\n' "$3"
        for model in mio tokio; do
            printf '[[target]]\nmodel = "%s"\nthreads = 1\nwork = "%s"\n%s\n' "$model" "$2" "$pin_target"
        done
        printf '[load]\nworkload = "closed"\nthreads = 1\nwarmup = "500ms"\nduration = "%s"\n%s\n' "$window" "$pin_client"
        printf '[[step]]\nconnections = 4\ndelay = "0s"\n[[step]]\nconnections = 200\ndelay = "10ms"\n'
    } >"$work/sweep.toml"
    "$brink" sweep "$work/sweep.toml" --out "$1" >/dev/null 2>"$work/log" || code=$?
    # 5: a case was not valid. compare leaves it out, and it is counted below.
    if ((code != 0 && code != 5)); then tail -n 5 "$work/log" >&2; exit "$code"; fi
}

compare() { # A B OUT
    local code=0
    "$brink" compare "$1" "$2" --format json >"$3" || code=$?
    if ((code != 0 && code != 5)); then echo "compare ended with $code" >&2; exit 1; fi
}

last=
for round in $(seq "$rounds"); do
    for which in a b; do
        now=$work/$round$which
        sweep "$now" 1ms "$round"
        if [[ -n $last ]]; then compare "$last" "$now" "$work/same.$round$which.json"; fi
        last=$now
    done
    sweep "$work/${round}s" 1100us "$round"
    compare "$last" "$work/${round}s" "$work/slow.$round.json"
    echo "round $round of $rounds" >&2
done

python3 - "$work" <<'PY'
import collections, glob, json, math, sys

def load(pattern):
    return [json.load(open(path)) for path in sorted(glob.glob(f"{sys.argv[1]}/{pattern}"))]

def wilson(hits, n, z=1.96):
    """95% interval of a share: Wilson, J. Am. Stat. Assoc. 22 (1927)."""
    if n == 0:
        return "none"
    p, d = hits / n, 1 + z * z / n
    middle, half = (p + z * z / (2 * n)) / d, z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / d
    return f"{hits} of {n} = {p:.1%} ({middle - half:.1%} to {middle + half:.1%})"

def verdicts(files, measures=None):
    return [(c["measure"], k["name"], c["verdict"], c["ratio"] and c["ratio"]["value"])
            for f in files for k in f["cases"] for c in k["comparisons"]
            if (measures is None or c["measure"] in measures) and c["verdict"] not in ("undecided", "not_judged")]

same, slow = load("same.*.json"), load("slow.*.json")
alike = verdicts(same)
print("alike: no difference in", wilson(sum(v[2] == "no_difference" for v in alike), len(alike)))
for measure, count in collections.Counter(v[0] for v in alike if v[2] != "no_difference").most_common():
    ratios = ", ".join(f"{v[1]} {v[3]:.3f}" if v[3] else v[1] for v in alike if v[0] == measure and v[2] != "no_difference")
    print(f"  called different: {measure} {count} times ({ratios})")
slowed = verdicts(slow, ("requests.per_s", "latency_ns.p50"))
print("slowed by 10%: worse in", wilson(sum(v[2] == "worse" for v in slowed), len(slowed)))
for v in slowed:
    if v[2] != "worse":
        print(f"  missed: {v[1]} {v[0]}: {v[2]}, ratio {v[3]:.3f}")
for name, files in (("alike", same), ("slowed", slow)):
    left = sum(len(f["not_compared"]["invalid"]) for f in files)
    undecided = sum(f["counts"]["undecided"] for f in files)
    if left or undecided:
        print(f"{name}: {left} cases left out, without a valid run on a side; {undecided} comparisons undecided")
PY
