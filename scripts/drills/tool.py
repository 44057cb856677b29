"""What the drills do in Python: check and show JSON, ask a control plane.

    tool.py check FILE EXPRESSION    ends with 1 unless the expression over `r` is true
    tool.py show  FILE EXPRESSION    prints it
    tool.py get   URL [TOKEN]        prints the body of a GET
"""

import json
import sys
import urllib.request


def brief(r):
    """A result in one line, for the message of a check that failed."""
    if not isinstance(r, dict) or "validity" not in r:
        return json.dumps(r)[:400]
    keys = ("validity", "connections", "requests", "failures", "failure_point")
    short = {key: r.get(key) for key in keys}
    short["connections"] = {k: v for k, v in (r.get("connections") or {}).items() if isinstance(v, int)}
    point = short["failure_point"]
    if point:
        short["failure_point"] = {k: point[k] for k in ("end", "phase", "errno", "limit", "limit_value", "confidence", "at_connections")}
    return json.dumps(short)


def main():
    if sys.argv[1] == "get":
        request = urllib.request.Request(sys.argv[2])
        if len(sys.argv) > 3:
            request.add_header("Authorization", "Bearer " + sys.argv[3])
        print(urllib.request.urlopen(request, timeout=5).read().decode())
        return 0
    with open(sys.argv[2], encoding="utf-8") as file:
        r = json.load(file)
    value = eval("(" + sys.argv[3] + ")", {"r": r, "json": json})
    if sys.argv[1] == "show":
        print(value)
        return 0
    if not value:
        print(brief(r))
        return 1
    return 0


sys.exit(main())
