"""What the ceilings in a folder come to: a table, one row for each server, as ceilings.md beside them.

usage: ceilings.py DIR NAME...
"""
import glob
import json
import os
import sys

HEAD = ["server", "connections", "ended by", "on the", "value", "is that so", "processes, client + target", "target B/connection",
        "client B/connection", "kernel B/pair", "opened/s", "held"]


def bytes_of(end, key):
    slope = (end or {}).get(key)
    return f"{slope['slope']:,.0f}" if slope else "unknown"


def row(name, result):
    ceiling, point, memory = result["ceiling"], result["failure_point"], result["memory_per_connection"]
    held = ceiling["held"]
    target = result["case"]["target"]
    processes = f"{result['case']['load']['processes']} + " + ("its own" if target["origin"] != "started" else str(target["processes"]))
    if ceiling["stopped_by"] == "stop_at":
        ended = ["nothing, up to there", "", "", ""]
    elif point is None:
        ended = [ceiling["stopped_by"], "", "", ""]
    else:
        value = f"{point['limit_value']:,}" if point["limit_value"] is not None else "unknown"
        ended = [point["limit"], point["end"], value, point["confidence"]]
    echoes = "not held" if held is None else f"{held['heartbeats']:,} echoes, {held['failed']} failed, {held['closed_early']} lost"
    rate = result["connections"]["connect_per_s"]
    return [name, f"{ceiling['at_connections']:,}", *ended, processes, bytes_of(memory["target"], "user_bytes"),
            bytes_of(memory["client"], "user_bytes"), bytes_of(memory["target"], "kernel_bytes"),
            f"{rate:,.0f}" if rate else "unknown", echoes]


def main():
    folder, *names = sys.argv[1:]
    rows = []
    for name in names:
        found = sorted(glob.glob(os.path.join(folder, name, "0*.json")))
        if not found:
            sys.exit(f"ceilings: {folder}/{name} has no result")
        with open(found[0], encoding="utf-8") as file:
            rows.append(row(name, json.load(file)))
    line = lambda cells: f"| {' | '.join(cells)} |"
    text = [line(HEAD), line(["---"] * len(HEAD)), *map(line, rows)]
    with open(os.path.join(folder, "ceilings.md"), "w", encoding="utf-8") as file:
        file.write("# Ceilings\n\n" + "\n".join(text) + "\n")
    print("\n".join(text))


if __name__ == "__main__":
    main()
