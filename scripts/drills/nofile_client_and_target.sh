#!/usr/bin/env bash
# Descriptors: the soft limit is raised, and said so; what the hard limit cannot carry is said before it starts.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need python3 prlimit

run 20 raised prlimit --nofile=1024:4096 "$BRINK" load -c 100 --delay 20ms --warmup 100ms -d 500ms --format json
expect_rc raised 0 5
expect_line raised 'raised rlimit.nofile .*from 1024 to the hard limit 4096'
check_clean raised.out 100

# Past the soft limit, within the hard one.
run 20 beyond prlimit --nofile=1024:4096 "$BRINK" load -c 2000 --delay 500ms --warmup 600ms -d 1s --format json
expect_rc beyond 0 5
check_clean beyond.out 2000

cat >sweep.toml <<'TOML'
name = "nofile"
repeats = 1
seed = 1

[[target]]
model = "threads"
stack_size = "64KiB"

[[target]]
model = "tokio"

[[target]]
model = "mio"

[load]
workload = "closed"
warmup = "200ms"
duration = "500ms"

[[step]]
connections = 100
delay = "20ms"

[[step]]
connections = "10k"
delay = "200ms"
TOML
run 40 sweep prlimit --nofile=1024:4096 "$BRINK" sweep sweep.toml --out out
expect_rc sweep 4
said=$(grep -Ec 'c10000.*will not run.*rlimit\.nofile = 4,096.*to lift it: .*(ulimit -n |prlimit .*--nofile=)[0-9]' sweep.err) || true
[[ $said == 3 ]] || fail "of 3 cases with 10,000 connections $said were announced with rlimit.nofile and what lifts it"
first_case=$(grep -n '^\[1/' sweep.err | head -n 1 | cut -d: -f1) || true
last_word=$(grep -n 'will not run' sweep.err | tail -n 1 | cut -d: -f1)
if [[ -n $first_case ]] && ((first_case < last_word)); then fail "a case began before the forecast was out"; fi
[[ -s out/report.html && -s out/plan.json ]] || fail "no report.html or plan.json"
results=(out/0*.json)
[[ ${#results[@]} == 6 ]] || fail "${#results[@]} results instead of 6"
for result in out/*-c100-*.json out/*-c100.json; do
    if [[ -e $result ]]; then check_clean "$result" 100; fi
done
for result in out/*c10000*.json; do
    check_sums "$result"
    check_json "$result" 'r["validity"]["verdict"] in ("failed", "limit_bound")
        and "rlimit.nofile" in r["validity"]["reasons"][0] and r["connections"]["not_attempted"] == 10000
        and r["predicted"]["limit"] == "rlimit.nofile" and r["predicted"]["short"]
        and 3900 < r["predicted"]["at_connections"] < 4096 and r["predicted"]["fix"]'
done
