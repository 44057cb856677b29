#!/usr/bin/env bash
# How many connections each kind of server holds on this machine and what ends it, one after the other: brink's models in
# as many processes as the limits of one make necessary, Python's servers as they are. Each climbs until something gives
# way, climbs again to find the edge, holds there with a heartbeat, and comes down; it stops above a floor of free memory.
# All load is on loopback. It takes some twenty minutes, and most of the machine's memory.
#
# usage: scripts/ceilings.sh DIR [NAME...]     mio tokio threads py-asyncio py-threading
set -euo pipefail
cd "$(dirname "$0")/.."
dir=${1:?"usage: scripts/ceilings.sh DIR [NAME...]"}
shift
brink=${BRINK:-target/release/brink}
names=("$@")
if ((${#names[@]} == 0)); then names=(mio tokio threads py-asyncio py-threading); fi
many=(--processes auto --target-processes auto)
for name in "${names[@]}"; do
    case $name in
        # More than memory carries here: what ends it is to be the machine, and not a number.
        mio) flags=(--model mio "${many[@]}" --stop-at 3m) ;;
        tokio) flags=(--model tokio "${many[@]}" --stop-at 500k) ;;
        # Small stacks, so that what ends it is a count and not memory.
        threads) flags=(--model threads --stack-size 64KiB "${many[@]}" --stop-at 60k) ;;
        # A client of several processes, so that it is the server that meets its limit.
        py-asyncio) flags=(--command 'python3 scripts/targets/py_asyncio.py --port {port}' --processes auto --stop-at 30k) ;;
        # So many threads that want one lock answer slowly, and take minutes to end.
        py-threading) flags=(--command 'python3 scripts/targets/py_threading.py --port {port}' --processes auto --stop-at 25k
            --heartbeat 20s --timeout 20s) ;;
        *) echo "ceilings.sh: no server \`$name\`; there are: mio tokio threads py-asyncio py-threading" >&2 && exit 2 ;;
    esac
    echo "== $name"
    "$brink" ceiling "${flags[@]}" -o "$dir/$name" -q || echo "$name: exit $?" >&2
done
echo "== in short, in $dir/ceilings.md"
python3 scripts/ceilings.py "$dir" "${names[@]}"
