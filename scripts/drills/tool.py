"""What the drills do in Python: check and show JSON, ask a control plane, judge a climb.

    tool.py check FILE EXPRESSION         ends with 1 unless the expression over `r` is true
    tool.py show  FILE EXPRESSION         prints it
    tool.py get   URL [TOKEN]             prints the body of a GET
    tool.py row   FILE NAME KEY=VALUE ..  judges which limit a climb ended at
    tool.py none  FILE NAME COUNT         judges a climb to COUNT that nothing was in the way of

`row` and `none` print one line that begins with `row: NAME: ` and end with 1 where it says WRONG. Keys of `row`:
    limit, end, confidence   what failure_point must say; alternatives are separated by commas
    value                    limit_value
    observed                 LOW..HIGH, connections when it gave way
    predicted                yes: the prediction must name the same limit and end, and be right within 1% or 3 connections;
                             LIMIT: that limit must be predicted, at whatever count; no: none that is short
    predicted_end            where it may be another end, as with a limit that both ends draw on
    after                    serving (by default), silent or dead, or several of them: what is left of the target
    stopped_by, phase, errno, evidence, fix   a text that must be in that field
"""

import json
import sys
import urllib.request

# A prediction may be off by this much, or by a hundredth where that is more.
CONNECTIONS_OFF_MAX = 3


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


def observed_at(r):
    """Connections that were held when it gave way."""
    ceiling = r.get("ceiling")
    return ceiling["at_connections"] if ceiling else r["connections"]["peak_live"]


def told(r):
    """What a climb found, for its row."""
    point = r["failure_point"] or {}
    predicted = r["predicted"]
    foretold = "nothing"
    if predicted:
        short = "" if predicted["short"] else " (not short)"
        foretold = "%s@%s/%d%s" % (predicted["limit"], predicted["end"], predicted["at_connections"], short)
    what = "%s/%s" % (point.get("phase"), point.get("errno"))
    return "limit=%s end=%s confidence=%s value=%s seen=%s predicted=%s observed=%d" % (
        point.get("limit", "none"), point.get("end"), point.get("confidence"), point.get("limit_value"), what, foretold, observed_at(r)
    )


def wrong_prediction(r, wanted, limit, ends):
    """Why the prediction is not as it was wanted, or None."""
    predicted = r["predicted"]
    if wanted == "no":
        if predicted and predicted["short"]:
            return "predicted that %s falls short" % predicted["limit"]
        return None
    if not predicted:
        return "nothing was predicted"
    wanted_limit = limit if wanted == "yes" else wanted
    if predicted["limit"] not in wanted_limit.split(","):
        return "predicted %s instead of %s" % (predicted["limit"], wanted_limit)
    if predicted["end"] not in ends.split(","):
        return "predicted for the %s" % predicted["end"]
    if wanted != "yes":
        return None
    at = observed_at(r)
    off = predicted["at_connections"] - at
    if abs(off) > max(CONNECTIONS_OFF_MAX, at / 100):
        return "the prediction is off by %+d" % off
    return None


def wrong_after(r, wanted):
    """Why the target is not left as it should be, or None. A load does not look."""
    after = (r.get("ceiling") or {}).get("after")
    if after is None:
        return None
    is_so = {
        "serving": after["alive"] is not False and after["serving"] is True,
        "silent": after["alive"] is not False and after["serving"] is not True,
        "dead": after["alive"] is False,
    }
    return None if any(is_so[word] for word in wanted.split(",")) else "afterwards the target is not %s but %s" % (wanted, json.dumps(after))


def wrong_row(r, wanted):
    """All that is not as a row wants it."""
    point = r["failure_point"]
    if not point:
        yield "nothing is blamed: %s" % brief(r)[:400]
        return
    for key in ("limit", "end", "confidence"):
        if point[key] not in wanted[key].split(","):
            yield "%s is %s instead of %s" % (key, point[key], wanted[key])
    if (point["limit"] == "unknown") != (point["confidence"] == "unknown"):
        yield "%s with confidence %s" % (point["limit"], point["confidence"])
    if "value" in wanted and str(point["limit_value"]) not in wanted["value"].split(","):
        yield "limit_value is %s instead of %s" % (point["limit_value"], wanted["value"])
    if "observed" in wanted:
        low, high = map(int, wanted["observed"].split(".."))
        if not low <= observed_at(r) <= high:
            yield "observed is not within %d..%d" % (low, high)
    for key in ("phase", "errno"):
        if key in wanted and point[key] not in wanted[key].split(","):
            yield "%s is %s instead of %s" % (key, point[key], wanted[key])
    for key in ("evidence", "fix"):
        if key in wanted and wanted[key] not in json.dumps(point[key]):
            yield "%s does not say `%s`: %s" % (key, wanted[key], json.dumps(point[key]))
    if not point["evidence"]:
        yield "no evidence"
    stopped_by = (r.get("ceiling") or {}).get("stopped_by")
    if stopped_by and stopped_by != wanted.get("stopped_by", "limit"):
        yield "stopped by %s" % stopped_by
    ends = wanted.get("predicted_end", wanted["end"])
    foretold = wrong_prediction(r, wanted.get("predicted", "yes"), wanted["limit"], ends)
    for why in (foretold, wrong_after(r, wanted.get("after", "serving"))):
        if why:
            yield why


def wrong_none(r, count):
    """All that is blamed although nothing was in the way."""
    if r["failure_point"] or r["failures"]:
        yield "something is blamed: %s" % brief(r)
    if observed_at(r) != count:
        yield "%d connections instead of %d" % (observed_at(r), count)
    stopped_by = (r.get("ceiling") or {}).get("stopped_by")
    if stopped_by and stopped_by != "stop_at":
        yield "stopped by %s" % stopped_by
    for why in (wrong_prediction(r, "no", "", ""), wrong_after(r, "serving")):
        if why:
            yield why


def judge(r, name, wrong):
    wrong = list(wrong)
    print("row: %s: %s%s" % (name, told(r), "".join(" WRONG: " + why for why in wrong)))
    if wrong:
        print("    evidence: %s" % json.dumps((r["failure_point"] or {}).get("evidence")))
    return 1 if wrong else 0


def main():
    if sys.argv[1] == "get":
        request = urllib.request.Request(sys.argv[2])
        if len(sys.argv) > 3:
            request.add_header("Authorization", "Bearer " + sys.argv[3])
        print(urllib.request.urlopen(request, timeout=5).read().decode())
        return 0
    with open(sys.argv[2], encoding="utf-8") as file:
        r = json.load(file)
    if sys.argv[1] == "row":
        return judge(r, sys.argv[3], wrong_row(r, dict(word.split("=", 1) for word in sys.argv[4:])))
    if sys.argv[1] == "none":
        return judge(r, sys.argv[3], wrong_none(r, int(sys.argv[4])))
    value = eval("(" + sys.argv[3] + ")", {"r": r, "json": json})
    if sys.argv[1] == "show":
        print(value)
        return 0
    if not value:
        print(brief(r))
        return 1
    return 0


sys.exit(main())
