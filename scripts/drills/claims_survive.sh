#!/usr/bin/env bash
# Runs of claims that are killed, stopped, begun twice or have no python3, programs that do not do as they should, and files that
# are wrong: each is told in a line, and what can be measured is.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need python3 setsid
targets=$DRILL_ROOT/scripts/targets

# Each run of the program leaves a line in the file `ran`.
cat >small.toml <<TOML
name = "small"
repeats = 2

[[experiment]]
name = "loop"

[[experiment.target]]
model = "mio"

[[experiment.target]]
label = "py"
command = "python3 $targets/py_asyncio.py --port {port}"

[experiment.load]
connections = [4, 8]
delay = "5ms"
warmup = "0s"
duration = "200ms"

[[experiment.program]]
label = "before"
command = "sh -c 'echo before >>$DRILL_WORK/ran; echo \"{\\\\\"makespan_ns\\\\\": 5000000}\"'"

[[experiment.program]]
label = "slow"
command = "sh -c 'echo slow >>$DRILL_WORK/ran; sleep 1; echo \"{\\\\\"makespan_ns\\\\\": 6000000}\"'"

[[experiment.program]]
label = "py-program"
command = "python3 -c 'print(\"{\\\\\"makespan_ns\\\\\": 7000000}\")'"
needs = "python3"

[[claim]]
id = "R1"
says = "what needs no Python is measured"
source = "this drill"
shows = "{p99} and {before}."
would_change = "nothing"
[claim.value]
p99 = "p99 of loop.mio-c4"
before = "makespan_ns of loop.before"
[[claim.check]]
of = "a case"
rule = "p99 <= 10s"
[[claim.check]]
of = "a program"
rule = "before <= 1s"

[[claim]]
id = "P1"
says = "Python is measured where it is there"
source = "this drill"
shows = "{p99} and {program}."
would_change = "nothing"
[claim.value]
p99 = "p99 of loop.py-c8"
program = "makespan_ns of loop.py-program"
[[claim.check]]
of = "a target"
rule = "p99 <= 10s"
[[claim.check]]
of = "a program"
rule = "program <= 1s"

[guide]
experiments = ["loop"]
[[guide.question]]
connections = 6
delay = "5ms"
TOML
allowed_codes=(0 5) # 5: a busy machine may leave a claim undecided

verdict_is() { # DIR ID VERDICT
    check_json "$1/claims.json" "[c for c in r['judged'] if c['id'] == '$2'][0]['verdict'] == '$3'" "$1: $2 is $3"
}

# Nobody is left of those.
all_gone() { # PID ...
    local pid
    for pid in "$@"; do wait_for 5 "the end of process $pid" gone "$pid"; done
}

whole() { # DIR: all 8 cases and 6 programs have one result each, in which nothing was cut short
    local cases=("$1"/[0-9]*.json) programs=("$1"/programs/[0-9]*.json) file
    [[ ${#cases[@]} == 8 && ${#programs[@]} == 6 ]] || fail "$1: ${#cases[@]} cases and ${#programs[@]} programs"
    for file in "${cases[@]}" "${programs[@]}"; do check_json "$file" 'not r.get("interrupted")'; done
    check_json "$1/claims.json" 'r["not_run"] == []'
}

# How often the programs ran: those that ended once only, whatever else happened.
ran() { # NAME COUNT ...: a count of these
    local count
    count=$(grep -cx "$1" ran) || true
    [[ " ${*:2} " == *" $count "* ]] || fail "the program $1 ran $count times instead of ${*:2}"
}

in_slow() { [[ $(grep -cx slow ran 2>/dev/null) == 1 ]]; }

# ---- killed ------------------------------------------------------------------------------------

rm -f ran
bg killed "$BRINK" claims small.toml --out killed -q
victim=$LAST_PID
wait_for 20 "the slow program" in_slow
mapfile -t children < <(descendants "$victim")
((${#children[@]} > 0)) || fail "the slow program is no child"
kill -KILL "$victim"
reap 5 "$victim"
all_gone "${children[@]}"
stamp() { stat -c '%n %Y %i' killed/[0-9]*.json killed/programs/*before*; }
stamp >stamps
run 10 advise_killed "$BRINK" advise --from killed -c 6 --delay 5ms
expect_rc advise_killed 0
run 10 report_killed "$BRINK" report killed -o killed.html
expect_rc report_killed 0
grep -q 'Stopped before its end' killed.html || fail "the report of a killed run does not say so"
run 60 resumed "$BRINK" claims --resume killed
expect_rc resumed "${allowed_codes[@]}"
whole killed
ran before 2
ran slow 3
# shellcheck disable=SC2046 # names without blanks
[[ $(stat -c '%n %Y %i' $(cut -d' ' -f1 stamps)) == "$(<stamps)" ]] || fail "a case or a program that had its result ran again"

# In mid-case, and with a result that is cut off.
bg torn "$BRINK" claims small.toml --out torn -q
victim=$LAST_PID
two_cases() { compgen -G 'torn/002-*.json'; }
wait_for 20 "the second case" two_cases
mapfile -t children < <(descendants "$victim")
kill -KILL "$victim"
reap 5 "$victim"
all_gone "${children[@]}"
first=(torn/001-*.json)
truncate -s 300 "${first[0]}"
run 60 torn_resumed "$BRINK" claims --resume torn
expect_rc torn_resumed "${allowed_codes[@]}"
whole torn

# ---- stopped -----------------------------------------------------------------------------------

for row in INT:130 TERM:143; do
    out=stopped_${row%:*}
    rm -f ran
    bg "$out" "$BRINK" claims small.toml --out "$out" --format json
    victim=$LAST_PID
    wait_for 20 "the slow program" in_slow
    mapfile -t children < <(descendants "$victim")
    kill "-${row%:*}" "$victim"
    reap 5 "$victim"
    expect_rc "$out" "${row#*:}"
    all_gone "${children[@]}"
    expect_line "$out" "to go on where it was stopped: brink claims --resume $out"
    check_json "$out.out" 'len(r["judged"]) == 2 and "loop.slow-r1" in r["not_run"] and "loop.mio-c4-r2" in r["not_run"]
        and "loop.mio-c4-r1" not in r["not_run"]' "$out: what has not run"
    cmp -s <(python3 -m json.tool "$out.out") <(python3 -m json.tool "$out/claims.json") || fail "$out: claims.json is otherwise"
    check_json "$out/claims.json" '"has no result yet" in str(r["judged"])'
    grep -q 'Stopped before its end' "$out/report.html" || fail "$out: the report does not say so"
    run 10 "advise_$out" "$BRINK" advise --from "$out" -c 6 --delay 5ms
    expect_rc "advise_$out" 0
done
run 60 stopped_resumed "$BRINK" claims --resume stopped_INT
expect_rc stopped_resumed "${allowed_codes[@]}"
whole stopped_INT
grep -q 'Stopped before its end' stopped_INT/report.html && fail "a whole run is said to be stopped"

# In mid-case: its target ends with it.
sed 's/^duration = .*/duration = "6s"/' small.toml >long.toml
bg stopped_case "$BRINK" claims long.toml --out stopped_case
victim=$LAST_PID
wait_for 20 "a window" grep -q window stopped_case.err
mapfile -t children < <(descendants "$victim")
kill -INT "$victim"
reap 5 "$victim"
expect_rc stopped_case 130
all_gone "${children[@]}"
check_json stopped_case/claims.json 'len(r["judged"]) == 2 and r["not_run"]'

# ---- two at once -------------------------------------------------------------------------------

rm -f ran
bg one "$BRINK" claims small.toml --out shared -q
one=$LAST_PID
planned() { [[ -s shared/plan.json ]]; }
wait_for 10 "the first of two" planned
run 10 same "$BRINK" claims small.toml --out shared -q
expect_rc same 2
expect_line same '^brink: --out: .*shared'
run 10 same_resumed "$BRINK" claims --resume shared -q
expect_rc same_resumed 2
expect_line same_resumed '^brink: --resume: shared: a sweep is running in it'
bg other "$BRINK" claims small.toml --out other -q
other=$LAST_PID
reap 60 "$one"
expect_rc one "${allowed_codes[@]}"
reap 60 "$other"
expect_rc other "${allowed_codes[@]}"
whole shared
whole other

# ---- without python3 ---------------------------------------------------------------------------

mkdir path
for name in sh sleep env; do ln -s "$(command -v "$name")" "path/$name"; done
run 60 pythonless env PATH="$DRILL_WORK/path" "$BRINK" claims small.toml --out pythonless
expect_rc pythonless 5
verdict_is pythonless R1 holds
verdict_is pythonless P1 undecided
check_json pythonless/claims.json 'all("python3" in k["words"] for c in r["judged"] if c["id"] == "P1" for k in c["checks"])' \
    'what is missing'
expect_line pythonless 'loop.py-program is left out: python3 is not there'
expect_line pythonless 'loop.py-c8-r1: .*python3'
# It is there now: what was left out is run, and what could not be started.
run 60 pythonic "$BRINK" claims --resume pythonless
expect_rc pythonic 0 5
check_json pythonless/claims.json '[abs(v["figure"] - 0.007) < 1e-9 for c in r["judged"] for v in c["values"] if v["name"] == "program"] == [True]'

# ---- programs that do not do as they should ------------------------------------------------------

cat >bad.py <<'PY'
"""A claims file of programs that misbehave: what each does, and what must be said of it."""
import json, sys

ROWS = {
    "fails": ("sh -c 'echo oh no >&2; exit 3'", "exit status: 3: oh no"),
    "silent": ("true", "its last line is no JSON object: ``"),
    "talks": ("echo hello", "its last line is no JSON object: `hello`"),
    "nan": ("echo '{\"x_ns\": NaN}'", "its last line is no JSON object"),
    "infinite": ("echo '{\"x_ns\": 1e999}'", "its last line is no JSON object"),
    "binary": ("sh -c 'printf \"\\\\377\\\\000\\\\033[31m\\\\302\\\\237x\"'", "its last line is no JSON object"),
    "nested": ("python3 -c 'print(\"[\" * 100000)'", "its last line is no JSON object"),
    "other": ("echo '{\"y_ns\": 5}'", "it did not tell `x_ns`"),
    "words": ("echo '{\"x_ns\": \"5\"}'", "it did not tell `x_ns`"),
    "hangs": ("sh -c 'trap \"\" TERM INT; sleep 1000 & wait'", "it took longer than 0.3 s"),
    "loud": ("sh -c 'yes | head -c 100000000; echo \"{\\\"x_ns\\\": 5}\"'", "it said more than 1 MiB on stdout"),
    "complains": ("sh -c 'yes oh no | head -c 100000000 >&2; exit 1'", "exit status: 1: "),
    "dies": ("sh -c 'kill -SEGV $$'", "signal: 11"),
    "absent": ("/no/such/program", "cannot be started: No such file"),
    "unfit": ("/etc/passwd", "cannot be started: Permission denied"),
}
GOOD = {
    # Whatever it started is ended, and holds up nothing.
    "forks": "sh -c 'setsid sleep 4242 & echo \"{\\\"x_ns\\\": 5}\"'",
    "huge": "echo '{\"x_ns\": 1.7e308}'",
    "negative": "echo '{\"x_ns\": -5}'",
}
text = lambda word: '"%s"' % word.replace("\\", "\\\\").replace('"', '\\"')
programs = dict(GOOD, **{label: row[0] for label, row in ROWS.items()})
lines = ['name = "bad"', "repeats = 1", "[[experiment]]", 'name = "x"']
for label, command in programs.items():
    lines += ["[[experiment.program]]", 'label = "%s"' % label, "command = " + text(command)]
    if label == "hangs":
        lines.append('timeout = "300ms"')
for label in programs:
    lines += ["[[claim]]", 'id = "%s"' % label, 'says = "."', 'source = "."', 'shows = "{x}"', 'would_change = "."']
    lines += ["[claim.value]", 'x = "x_ns of x.%s"' % label, "[[claim.check]]", 'of = "it"', 'rule = "x <= 1s"']
if sys.argv[1] == "write":
    open("bad.toml", "w").write("\n".join(lines) + "\n")
    raise SystemExit
judged = {claim["id"]: claim for claim in json.load(open("bad/claims.json"))["judged"]}
assert set(judged) == set(programs)
for label in programs:
    words = judged[label]["checks"][0]["words"]
    print("row: %s: %s: %s" % (label, judged[label]["verdict"], words[:120]))
    if label in GOOD:
        assert judged[label]["values"][0]["figure"] is not None, label
    else:
        assert judged[label]["verdict"] == "undecided" and ROWS[label][1] in words, label
        assert len(words) < 400 and "\n" not in words and words.isprintable(), label
PY
python3 bad.py write
run 60 bad "$BRINK" claims bad.toml --out bad
expect_rc bad 5
python3 bad.py judge || fail "not all is told of programs that misbehave"
[[ $(wc -l <bad.err) -lt 30 && $(wc -c <bad.err) -lt 8000 ]] || fail "bad: $(wc -l <bad.err) lines on stderr"
orphans() { grep -lzx 4242 /proc/[0-9]*/cmdline 2>/dev/null; }
if orphans; then fail "what a program started outlives it"; fi
run 10 advise_bad "$BRINK" advise --from bad -c 5
expect_rc advise_bad 2
expect_line advise_bad 'no \[guide\]'
mkdir hollow
run 10 advise_hollow "$BRINK" advise --from hollow -c 5
expect_rc advise_hollow 2
expect_line advise_hollow 'hollow'

# ---- files that are wrong ------------------------------------------------------------------------

# One line with the file and, where it can be, the line; nothing is made.
cat >wrong.py <<'PY'
import subprocess, sys, os
brink, good = sys.argv[1], open("small.toml").read()
P99 = "p99 of loop.mio-c4"
CHAIN = "1" + " + 1" * 200_000
FIRST, SECOND = (n for n, line in enumerate(good.split("\n"), 1) if line == "[[claim]]")
LINE = "wrong.toml:%d: [[claim]] `R1`: " % FIRST
ROWS = [  # what is replaced by what, and what must be said
    (P99, "p98 of loop.mio-c4", LINE + "`p98 of loop.mio-c4`: `p98` is not a measure of a case"),
    (P99, "p99 of loop.mio-c5", LINE + "`loop.mio-c5` is no case and no program of this file"),
    ("p99 <= 10s", "p99 <= 10MB", LINE + "check `p99 <= 10MB`: left of `<=` is a time, right of it a size"),
    ("p99 <= 10s", "p99 + 1MB <= 10s", "can be multiplied and divided only"),
    ("p99 <= 10s", "p99 = 10s", "one of < <= > >= is needed"),
    ("{p99} and {before}", "{p98} and {before}", LINE + "there is no value `p98`"),
    ('id = "P1"', 'id = "R1"', "wrong.toml:%d: [[claim]] `R1`: its id is taken" % SECOND),
    (P99, "(" * 200 + "1" + ")" * 200, "nested deeper than"),
    (P99, "(" * 10_000 + "1" + ")" * 10_000, LINE + "value `p99`: it is longer than"),
    (P99, CHAIN, "it is longer than"),
    ("p99 <= 10s", CHAIN + " <= 10s", "it is longer than"),
    (P99, "9" * 400, "is not a figure"),
    (P99, "9" * 10_000_000, "is not a figure"),
    (P99, "1e400", "is not a figure"),
    (P99, "p99", "is not a value that stands before this one"),
    (good, "", "wrong.toml:1: missing field `name`"),
    (good, "#" * 10_000_000, "missing field `name`"),
    (good, "\0" * 10_000_000, "wrong.toml:1: "),
    (good, "a = " + "[" * 100_000, "wrong.toml:1: "),
    ("repeats = 2", "repeats = 0", "wrong.toml:2: repeats: 0 is out of bounds"),
    ("repeats = 2", "repeats = 99999999999999999999", "wrong.toml:2: "),
    ('label = "slow"', 'label = "before"', "two programs are both called `before`"),
    ('command = "python3 -c', 'command = "\'python3 -c', "a quote is not closed"),
]
for before, after, said in ROWS:
    assert good.count(before) >= 1, before
    open("wrong.toml", "w").write(good.replace(before, after, 1))
    ended = subprocess.run([brink, "claims", "wrong.toml", "--out", "made"], capture_output=True, text=True, timeout=30)
    line, name = ended.stderr, after[:60].split("\n")[0]
    ok = ended.returncode == 2 and said in line and line.count("\n") == 1 and len(line) < 1200 and line.startswith("brink: wrong.toml")
    if not ok:
        sys.exit("FAIL: %r: ended with %d and %d lines: %s" % (name, ended.returncode, line.count("\n"), line[:300]))
    if os.path.exists("made"):
        sys.exit("FAIL: %r: a folder is made" % name)

# What only shows when it is reckoned is a value that is not measured.
text = good.replace('before = "makespan_ns', 'none = "1 / (p99 - p99)"\nlarge = "%s * %s"\nbeyond = "large * large * large"\nbefore = "makespan_ns' % ("9" * 150, "9" * 100), 1)
text = text.replace("repeats = 2", "repeats = 1")
open("wrong.toml", "w").write(text)
ended = subprocess.run([brink, "claims", "wrong.toml", "--out", "made", "-q"], capture_output=True, text=True, timeout=60)
import json
values = {v["name"]: v for c in json.load(open("made/claims.json"))["judged"] for v in c["values"]}
for name, words in (("none", "give no figure"), ("beyond", "give no figure"), ("large", "e")):
    if words not in values[name]["words"] or (values[name]["figure"] is None) != (name != "large"):
        sys.exit("FAIL: %s is %s" % (name, values[name]))
if ended.returncode not in (0, 5):
    sys.exit("FAIL: huge numbers: ended with %d: %s" % (ended.returncode, ended.stderr))
print("%d wrong files" % len(ROWS))
PY
run 120 wrong python3 wrong.py "$BRINK"
[[ $RC == 0 ]] || fail "wrong files: $(tail -n 1 wrong.err)"
cat wrong.out
