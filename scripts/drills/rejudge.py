"""Judges the folder of a run of `brink claims` again, from its raw results alone, and says where brink is not of that opinion.

    rejudge.py DIR [ID ...]       the claims that must be there; ends with 1 if anything is otherwise than it should be

Written without a look at how brink does the same, but for what the README says: medians over the runs that count, of times and
rates on logarithms; slopes by least squares over the plateaus; a rule is kept or broken where the whole interval is on one side.
Intervals are taken as brink tells them; crossovers are only looked at for whether they can be.
"""

import glob
import json
import math
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "claims"))

from memory import slope  # noqa: E402

OFF_MAX = 1e-6
VERDICTS = {"holds", "fails", "depends", "undecided"}
SHORT = {
    "per_s": "requests.per_s", "makespan": "makespan_ns", "opened": "connections.opened", "target_rss": "usage.target.user_bytes",
    "p50": "latency_ns.p50", "p90": "latency_ns.p90", "p99": "latency_ns.p99", "target_memory": "memory_per_connection.target.user_bytes",
    "ceiling": "ceiling.at_connections",
}
UNITS = {
    "": 1, "k": 1e3, "%": 0.01, "ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1, "min": 60,
    "B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "/s": 1,
}
HOLDS = {"<": float.__lt__, "<=": float.__le__, ">": float.__gt__, ">=": float.__ge__}


class Missing(Exception):
    """There is no figure."""


def verdict(checks):
    """What the outcomes of the checks of a claim say together."""
    outcomes = [check["outcome"] for check in checks]
    kept, broken = outcomes.count("kept"), outcomes.count("broken")
    if kept and broken:
        return "depends"
    if "close" in outcomes or 2 * (kept + broken) < len(outcomes):
        return "undecided"
    return "holds" if kept else "fails" if broken else "undecided"


# ---- what was measured -------------------------------------------------------------------------


class Folder:
    def __init__(self, path):
        read = lambda name: json.load(open(name, encoding="utf-8"))
        self.claims = read(os.path.join(path, "claims.json"))
        self.results = [read(name) for name in sorted(glob.glob(os.path.join(glob.escape(path), "[0-9]*.json")))]
        self.programs = [read(name) for name in sorted(glob.glob(os.path.join(glob.escape(path), "programs", "[0-9]*.json")))]
        self.allowed = {of["name"]: set(of["allow"]) for of in self.claims["experiments"]}

    def runs_of(self, case):
        """The runs of a case that count, or of a program."""
        own = [r for r in self.results if r["case"]["name"].rsplit("-r", 1)[0] == case]
        if own:
            return [r for r in own if self.counts(r, case)], False
        own = [r for r in self.programs if r["name"] == case]
        return [r for r in own if not (r["failure"] or r["skipped"] or r["interrupted"])], True

    def counts(self, r, case):
        said = r["validity"]["verdict"]
        return said in {"valid"} | self.allowed[case.split(".")[0]] or (said == "limit_bound" and r.get("ceiling"))

    def figure(self, measure, case):
        runs, is_program = self.runs_of(case)
        if is_program:
            seen = [r["wall_ns"] if measure == "wall_ns" else r["measures"].get(measure) for r in runs]
        else:
            measure = SHORT.get(measure, measure)
            seen = [of_result(r, measure) for r in runs]
        seen = [float(value) for value in seen if value is not None]
        if not seen:
            raise Missing("%s of %s" % (measure, case))
        is_time_or_rate = re.search(r"_ns($|\.)|_s$", measure)
        by_factors = (is_program or is_time_or_rate) and min(seen) > 0
        seconds = 1e-9 if re.search(r"_ns($|\.)", measure) else 1
        return (math.exp(median([math.log(v) for v in seen])) if by_factors else median(seen)) * seconds


def median(values):
    values, half = sorted(values), len(values) // 2
    return values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2


def of_result(r, measure):
    if measure.startswith("memory_per_connection."):
        return slope_of(r, *measure.split(".")[1:])
    if measure == "usage.target.user_bytes":
        return most_in_window(r)
    value = r
    for name in measure.split("."):
        value = value.get(name) if value else None
    return value


def slope_of(r, end, name):
    """From the plateaus, not from what brink makes of them."""
    of_machine = name in ("kernel_bytes", "kernel_stack_bytes", "slab_bytes")
    points = []
    for plateau in r["memory_per_connection"]["plateaus"]:
        seen = plateau.get("machine" if of_machine else end) or {}
        if of_machine and name not in seen:
            seen = dict(seen, **(seen.get("usage") or {}))
        if seen.get(name) is not None:
            points.append((plateau["connections"], seen[name]))
    if len(points) < 3:
        return None
    return slope(points)


def most_in_window(r):
    phases = r["usage"]["phases"]
    at = [phase["name"] for phase in phases].index("window") if any(p["name"] == "window" for p in phases) else None
    if at is None:
        return None
    begin = phases[at]["t_s"]
    end = phases[at + 1]["t_s"] if at + 1 < len(phases) else begin + r["requests"]["window_s"]
    seen = [s["user_bytes"] for s in r["usage"]["target"] if begin <= s["t_s"] <= end and s["user_bytes"] is not None]
    return max(seen) if seen else None


# ---- expressions -------------------------------------------------------------------------------


def reckon(text, folder, known):
    """The figure of an expression: what is measured and named becomes a number, and the rest is arithmetic."""
    if "crossover" in text:
        raise NotImplementedError
    words, numbers = re.findall(r"[()]|[^\s()]+", text), []
    plain, at = [], 0
    while at < len(words):
        word = words[at]
        if at + 1 < len(words) and words[at + 1] == "of":
            numbers.append(folder.figure(word, words[at + 2]))
            plain.append("n[%d]" % (len(numbers) - 1))
            at += 3
            continue
        if word in "()+-*/":
            plain.append(word)
        else:
            numbers.append(number(word) if word[0].isdigit() else known[word])
            plain.append("n[%d]" % (len(numbers) - 1))
            if numbers[-1] is None:
                raise Missing(word)
        at += 1
    try:
        return float(eval(" ".join(plain), {"n": numbers}))
    except ZeroDivisionError:
        raise Missing(text) from None


def number(word):
    digits, unit = re.fullmatch(r"([0-9._]+)(.*)", word).groups()
    return float(digits.replace("_", "")) * UNITS[unit]


def is_near(a, b):
    return abs(a - b) <= OFF_MAX * max(abs(a), abs(b), 1e-12)


# ---- what is wrong -----------------------------------------------------------------------------


def wrong_values(judged, folder, known, count):
    for value in judged["values"]:
        name, told = value["name"], value["figure"]
        try:
            ours = reckon(value["expression"], folder, known)
        except Missing:
            ours = None
        except NotImplementedError:
            known[name] = told
            yield from wrong_crossover(value, folder)
            count["crossovers"] += 1
            continue
        if told is None and " / " in value["expression"] and value["words"].endswith("cannot be told from nothing"):
            # Of what may be nothing there is no multiple. What it divides by has no interval of its own here.
            known[name] = None
            continue
        known[name] = ours
        count["values"] += ours is not None
        if (ours is None) != (told is None):
            yield "%s: %s, again %s" % (name, told, ours)
        elif ours is not None and not is_near(ours, told):
            yield "%s: %r, again %r" % (name, told, ours)
        elif ours is None and not value["words"].startswith("not measured: "):
            yield "%s: no figure and no reason: %s" % (name, value["words"])
        if told is not None and value["interval"] and not within(value["interval"], told):
            yield "%s: %r is not within %r" % (name, told, value["interval"])


def within(interval, figure):
    low, high = interval
    room = 0.02 * max(abs(low), abs(high), high - low)  # draws are finite in number
    return low - room <= figure <= high + room


def wrong_crossover(value, folder):
    """It must be a count that both sides have."""
    before, after = re.fullmatch(r"crossover\([^,]*, *([^,]*), *([^,]*)\)", value["expression"]).groups()
    counts = []
    for text in (before, after):
        like = re.compile(re.escape(text.strip()).replace(r"\*", ".*").replace(r"\?", ".") + r"-r\d+\Z")
        counts.append({r["case"]["load"]["connections"] for r in folder.results if like.match(r["case"]["name"])})
    if value["figure"] is not None and value["figure"] not in counts[0] & counts[1]:
        yield "%s: %s is not among the counts of both, %s" % (value["name"], value["figure"], sorted(counts[0] & counts[1]))
    if not counts[0] & counts[1] and not value["words"].startswith("not measured"):
        yield "%s: %s, and nothing was measured" % (value["name"], value["words"])


def wrong_checks(judged, folder, known, count):
    intervals = {value["name"]: value["interval"] for value in judged["values"]}
    crossovers = {value["name"] for value in judged["values"] if "crossover" in value["expression"]}
    for check in judged["checks"]:
        sign = re.search(r" (<=|>=|<|>) ", check["rule"]).group(1)
        left, right = (side.strip() for side in check["rule"].split(" %s " % sign))
        outcome, holds = check["outcome"], HOLDS[sign]
        if left in crossovers:
            continue
        try:
            ours, bound = reckon(left, folder, known), reckon(right, folder, known)
        except Missing:
            if outcome != "unmeasured":
                yield "%s: %s, and there is no figure" % (check["rule"], outcome)
            continue
        count["checks"] += 1
        if outcome == "unmeasured":
            yield "%s: unmeasured, and there are figures: %s and %s" % (check["rule"], ours, bound)
            continue
        if outcome != "close" and (outcome == "kept") != holds(ours, bound):
            yield "%s: %s, with %r against %r" % (check["rule"], outcome, ours, bound)
        # Where one side is a value and the other was written down, the interval alone decides.
        if left in intervals and is_written_down(right):
            ends = intervals[left] or [ours, ours]
            if any(abs(end - bound) <= 0.005 * abs(bound) for end in ends) and ends[0] != ends[1]:
                continue
            both = [holds(float(end), bound) for end in ends]
            ought = "kept" if all(both) else "close" if any(both) else "broken"
            if outcome != ought:
                yield "%s: %s, with %r it is %s" % (check["rule"], outcome, ends, ought)


def is_written_down(text):
    return all(word in "()+-*/" or word[0].isdigit() for word in re.findall(r"[()]|[^\s()]+", text))


def wrong_claim(judged, folder, count):
    known = {}
    yield from wrong_values(judged, folder, known, count)
    yield from wrong_checks(judged, folder, known, count)
    if judged["verdict"] not in VERDICTS:
        yield "no such verdict as %s" % judged["verdict"]
    if judged["verdict"] != verdict(judged["checks"]):
        yield "%s, by its checks %s" % (judged["verdict"], verdict(judged["checks"]))
    if judged["verdict"] in ("undecided", "depends") and not judged["on"]:
        yield "%s, and does not say why" % judged["verdict"]
    if re.search(r"\{[a-z_0-9]+\}", str(judged)):
        yield "a name is left in its words"


def wrong_folder(folder, path, ids):
    claims = folder.claims
    judged = [claim["id"] for claim in claims["judged"]]
    if judged != [claim["id"] for claim in claims["claims"]]:
        yield "not all claims are judged, in their order"
    if ids and sorted(ids) != sorted(judged):
        yield "claims are %s" % " ".join(judged)
    if claims.get("not_run"):
        yield "not everything ran: %s" % claims["not_run"]
    for run in folder.programs:
        if "python3" in run["command"] and not run["failure"] and not run["skipped"]:
            if not {"python", "implementation", "gil"} <= set(run["facts"]):
                yield "%s does not say which Python" % run["name"]
    with open(os.path.join(path, "report.html"), encoding="utf-8") as file:
        report = file.read()
    for claim in claims["judged"]:
        if 'id="claim-%s"' % claim["id"] not in report:
            yield "the report has no section for %s" % claim["id"]
    if claims["advice"] and not all(advice["why"] for advice in claims["advice"]):
        yield "an answer of the guide does not say why"


def main():
    path, *ids = sys.argv[1:]
    folder = Folder(path)
    count = {"values": 0, "crossovers": 0, "checks": 0}
    wrong = ["%s" % why for why in wrong_folder(folder, path, ids)]
    for judged in folder.claims["judged"]:
        wrong += ["%s: %s" % (judged["id"], why) for why in wrong_claim(judged, folder, count)]
    print("%d claims: %d values and %d checks again, %d crossovers looked at" % (
        len(folder.claims["judged"]), count["values"], count["checks"], count["crossovers"]))
    for why in wrong:
        print("WRONG: %s" % why)
    return 1 if wrong else 0


sys.exit(main())
