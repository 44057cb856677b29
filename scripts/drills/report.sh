#!/usr/bin/env bash
# The report in a real browser: committed results and a fresh run. It must ask nobody, say nothing on its console, show
# its plots and their values, sort its tables, and fit a phone and paper. report_look.py says how.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need python3 chromium

cat >sweep.toml <<'TOML'
name = "fresh"
seed = 1
repeats = 2

[[target]]
model = "mio"

[[target]]
model = "threads"

[load]
workload = "closed"
warmup = "200ms"
duration = "1s"

[[step]]
connections = 10
delay = "10ms"

[[step]]
connections = 200
delay = "20ms"
TOML
run 90 sweep "$BRINK" sweep sweep.toml --out fresh
# Code 5: the machine was too busy for the figures to be believed. The page shows that, too.
expect_rc sweep 0 5

looked=0
look() { # NAME FOLDER: draws it again with this program, and looks at it
    local name=$1
    run 30 "draw_$name" "$BRINK" report "$2" --out "$PWD/$name.html" --svg "$PWD/$name.plots" --png "$PWD/$name.plots"
    expect_rc "draw_$name" 0
    ls "$name.plots"/*.svg "$name.plots"/*.png >/dev/null || fail "$name: no plots on their own"
    echo "+ report_look.py $name.html"
    RC=0
    timeout 250 python3 "$drills_dir/report_look.py" "$name.html" "looks_$name" >"look_$name.out" 2>"look_$name.err" || RC=$?
    sed "s/^/    $name: /" "look_$name.out" "look_$name.err" | tail -n 30
    [[ $RC == 0 ]] || fail "$name: $(grep -m1 '^problem' "look_$name.out" "look_$name.err" | cut -d : -f 2- | cut -c 1-300)"
    looked=$((looked + 1))
    echo "row: $name: $(grep -m1 ' plots, ' "look_$name.out" | sed 's/^ *//'), $(stat -c %s "$name.html") bytes"
}

look fresh fresh
for folder in "$DRILL_ROOT"/results/*/ "$DRILL_ROOT"/results/*/*/; do
    [[ -f $folder/plan.json ]] || continue
    name=$(basename "$folder")
    # Of ceilings two: they are alike.
    case $folder in */*ceilings/*) [[ $name == threads || $name == py-* ]] || continue ;; esac
    look "$name" "$folder"
done
((looked >= 4)) || fail "only $looked reports were looked at"
