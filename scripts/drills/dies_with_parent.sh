#!/usr/bin/env bash
# No process of brink outlives the one that started it, a case takes no other with it, sweeps do not meet.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need python3

cat >sweep.toml <<'TOML'
name = "parent"
repeats = 1
seed = 1

[[target]]
model = "mio"

[[target]]
model = "tokio"

[load]
workload = "closed"
warmup = "100ms"
duration = "3s"

[[step]]
connections = 50
delay = "20ms"
TOML

# Sweep, run-case and target, all running.
processes=()
three_deep() {
    mapfile -t processes < <(descendants "$1")
    ((${#processes[@]} >= 2)) || return 1
    local pid
    for pid in "${processes[@]}"; do
        if tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q ' target '; then return 0; fi
    done
    return 1
}

# The sweep is killed.
bg killed "$BRINK" sweep sweep.toml --out killed_out
sweep=$LAST_PID
wait_for 15 "a case under way" three_deep "$sweep"
kill -KILL "$sweep"
reap 5 "$sweep"
for pid in "${processes[@]}"; do
    wait_for 5 "the end of process $pid, whose sweep was killed" gone "$pid"
done

# The process of one case is killed: that case failed, the next one runs.
bg case_killed "$BRINK" sweep sweep.toml --out case_out
sweep=$LAST_PID
wait_for 15 "a case under way" three_deep "$sweep"
case_pid=
for pid in "${processes[@]}"; do
    if tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q ' run-case '; then case_pid=$pid; fi
done
[[ -n $case_pid ]] || fail "no run-case process below the sweep"
others=()
for pid in "${processes[@]}"; do if [[ $pid != "$case_pid" ]]; then others+=("$pid"); fi; done
kill -KILL "$case_pid"
for pid in "${others[@]}"; do wait_for 5 "the end of process $pid, whose case was killed" gone "$pid"; done
reap 20 "$sweep"
expect_rc case_killed 1
results=(case_out/0*.json)
[[ ${#results[@]} == 2 && -s case_out/report.html ]] || fail "${#results[@]} results instead of 2, or no report.html"
check_json "${results[0]}" 'r["validity"]["verdict"] == "failed" and "signal: 9" in r["validity"]["reasons"][0]'
check_clean "${results[1]}" 50

# The target of one case is killed: the case says so and ends in time.
bg target_killed "$BRINK" sweep sweep.toml --out target_out
sweep=$LAST_PID
wait_for 15 "a case under way" three_deep "$sweep"
# Not before it is loaded: a target that never got ready is another story.
wait_for 10 "the measuring window" grep -q window target_killed.err
for pid in "${processes[@]}"; do
    if tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q ' target '; then kill -KILL "$pid"; fi
done
reap 25 "$sweep"
expect_rc target_killed 1
results=(target_out/0*.json)
[[ ${#results[@]} == 2 ]] || fail "${#results[@]} results instead of 2"
check_sums "${results[0]}"
check_json "${results[0]}" 'r["validity"]["verdict"] == "failed" and "target died" in " ".join(r["validity"]["reasons"])'
check_clean "${results[1]}" 50

# Two at once, each in its own folder.
sed 's/"3s"/"500ms"/' sweep.toml >short.toml
bg side_1 "$BRINK" sweep short.toml --out side_1
one=$LAST_PID
bg side_2 "$BRINK" sweep short.toml --out side_2
two=$LAST_PID
for pid in "$one" "$two"; do
    reap 25 "$pid"
    [[ $RC == 0 || $RC == 5 ]] || fail "two sweeps at once: one ended with $RC"
done
for result in side_1/0*.json side_2/0*.json; do check_clean "$result" 50; done

# Two at once in one folder: one has it, the other says so and touches nothing. Several rounds, as it is a race.
for round in 1 2 3; do
    bg "same_$round.1" "$BRINK" sweep short.toml --out "same_$round"
    one=$LAST_PID
    bg "same_$round.2" "$BRINK" sweep short.toml --out "same_$round"
    two=$LAST_PID
    reap 25 "$one"
    code_1=$RC
    reap 25 "$two"
    code_2=$RC
    echo "    the same folder: codes $code_1 and $code_2"
    won=0
    for code in "$code_1" "$code_2"; do
        case $code in
            0 | 5) won=$((won + 1)) ;;
            2) ;;
            *) fail "two sweeps into one folder at once: codes $code_1 and $code_2" ;;
        esac
    done
    [[ $won == 1 ]] || fail "two sweeps into one folder at once: $won of them succeeded (codes $code_1 and $code_2)"
    results=("same_$round"/0*.json)
    [[ ${#results[@]} == 2 ]] || fail "two sweeps into one folder: ${#results[@]} results instead of 2"
    for result in "${results[@]}"; do check_clean "$result" 50; done
done
