#!/usr/bin/env bash
# The whole of configs/claims.toml with --quick, about 200 s: every claim has its verdict, and from the raw results alone the same
# figures and verdicts come out again. What the verdicts are is not asked: a busy machine decides less.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need python3
ids=(A1 A1b A2 A2b A3 A4 A5 A6 A7 A8 A9 B1 B2 B3 B4 B5 B6 B7)
rejudge=$drills_dir/rejudge.py

# Commands in the file are relative to the repository.
run 370 quick env -C "$DRILL_ROOT" "$BRINK" claims configs/claims.toml --quick --out "$DRILL_WORK/out" --format json
expect_rc quick 0 5
check_json quick.out "($RC == 5) == any(claim['verdict'] == 'undecided' for claim in r['judged'])" 'the exit code'
cmp -s <(python3 -m json.tool quick.out) <(python3 -m json.tool out/claims.json) || fail "what was printed is not claims.json"
show_json quick.out '"row: " + ", ".join("%s %s" % (claim["id"], claim["verdict"]) for claim in r["judged"])'

run 20 again python3 "$rejudge" out "${ids[@]}"
sed 's/^[0-9]/row: &/' again.out
expect_rc again 0

# It would see it: a figure that is 1% off, a verdict or an outcome turned round.
mkdir forged
cp -r out/[0-9]*.json out/programs out/report.html forged
forge() { # NAME STATEMENT over `c`, a judged claim
    python3 - "$2" <<'PY'
import json, sys
r = json.load(open("out/claims.json"))
c = next(c for c in r["judged"] if c["id"] == "A2")
exec(sys.argv[1])
json.dump(r, open("forged/claims.json", "w"))
PY
    run 20 "forged_$1" python3 "$rejudge" forged
    expect_rc "forged_$1" 1
}
forge figure 'v = next(v for v in c["values"] if v["figure"]); v["figure"] *= 1.01'
forge verdict 'c["verdict"] = {"holds": "fails"}.get(c["verdict"], "holds")'
forge outcome 'k = next(k for k in c["checks"] if k["outcome"] in ("kept", "broken")); k["outcome"] = {"kept": "broken", "broken": "kept"}[k["outcome"]]'

# By the schemas that brink tells, if there is something to check them with.
for name in claims program; do
    run 5 "schema_$name" "$BRINK" schema "$name"
    expect_rc "schema_$name" 0
done
cat >schemas.py <<'PY'
import glob, json
try:
    import jsonschema
except ImportError:
    print("row: schemas: skipped, python3 has no jsonschema")
    raise SystemExit
for name, files in (("claims", ["out/claims.json"]), ("program", glob.glob("out/programs/*.json"))):
    validator = jsonschema.Draft202012Validator(json.load(open("schema_%s.out" % name)))
    for file in files:
        for error in validator.iter_errors(json.load(open(file))):
            raise SystemExit("%s: %s: %s" % (file, list(error.path), error.message[:200]))
    print("%d files are of the schema %s" % (len(files), name))
PY
run 60 schemas python3 schemas.py
expect_rc schemas 0
cat schemas.out

# What was measured answers a question, and the files alone give the same report.
run 10 advice "$BRINK" advise --from out -c 100 --delay 10ms --format json
expect_rc advice 0
check_json advice.out 'r["take"] and r["why"] and any(c["label"] == r["take"] and not c["excluded"] for c in r["candidates"])'
run 20 report "$BRINK" report out -o again.html
expect_rc report 0
for id in "${ids[@]}"; do grep -q "id=\"claim-$id\"" again.html || fail "the report drawn again has no $id"; done

# Nothing is left to be run.
run 30 resume "$BRINK" claims --resume out -q
expect_rc resume 0 5
python3 "$rejudge" out "${ids[@]}" >resumed || fail "after --resume: $(grep -m1 WRONG resumed)"
