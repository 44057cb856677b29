#!/usr/bin/env bash
# A drill that is killed, and a drills.sh that is killed with it, leave nothing changed for longer than until the next one.
# shellcheck source-path=SCRIPTDIR source=limits_lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/limits_lib.sh"
need root netns python3 flock
unset DRILL_KEEP
export VICTIM_READY=$DRILL_WORK/ready TMPDIR=$DRILL_WORK
tracked=$(sysctl_file net.netfilter.nf_conntrack_max)
[[ -e $tracked ]] || fail "prerequisite missing: net.netfilter.nf_conntrack_max"
before=$(<"$tracked")
own_tag=$DRILL_TAG

victim= group= ns= target=
start_victim() { # NAME
    rm -f "$VICTIM_READY"
    bg "$1" "$DRILL_ROOT/scripts/drills.sh" limits_victim
    wait_for 30 "a drill that has changed the machine" test -s "$VICTIM_READY"
    read -r victim group ns target <"$VICTIM_READY"
    [[ $(<"$tracked") == $((before - 8)) && -d $group && -e /run/netns/$ns ]] || fail "the victim has not changed the machine"
    alive "$target" || fail "the victim's target does not run"
}

nothing_is_left() { # WHO
    [[ $(<"$tracked") == "$before" ]] || fail "$1: net.netfilter.nf_conntrack_max is $(<"$tracked"), and was $before"
    [[ ! -e $MACHINE_JOURNAL ]] || fail "$1: $MACHINE_JOURNAL is still there"
    [[ ! -d $group && ! -d $(dirname "$group") ]] || fail "$1: control group $group is still there"
    [[ ! -e /run/netns/$ns ]] || fail "$1: network namespace $ns is still there"
    if alive "$target"; then fail "$1: its target still runs"; fi
    # Every process of it bears its tag; this one's own processes bear another.
    local left
    left=$(grep -lzxF "DRILL_TAG=${ns%a}" /proc/[0-9]*/environ 2>/dev/null || true)
    [[ -z $left ]] || fail "$1: still running: $left"
    echo "    $1: nothing is left"
}

# The drill alone is killed: drills.sh puts back.
start_victim drill_killed
outer=$LAST_PID
kill -KILL "$victim"
reap 20 "$outer"
expect_rc drill_killed 1
grep -q 'ok machine_as_before' drill_killed.out || fail "drills.sh does not find the machine as it was: $(cat drill_killed.out)"
nothing_is_left "a drill that was killed"

# All of them are: the next drills.sh does, before it begins.
start_victim all_killed
outer=$LAST_PID
# shellcheck disable=SC2046 # pids are words
kill -KILL "$outer" "$victim" $(descendants "$outer")
reap 20 "$outer"
[[ $(<"$tracked") == $((before - 8)) ]] || fail "somebody has put back what the killed ones left"
run 30 next "$DRILL_ROOT/scripts/drills.sh" --clean
expect_rc next 0
expect_line next 'cleaning up after .*brink-drills'
expect_line next "put back net.netfilter.nf_conntrack_max = $before"
nothing_is_left "a drills.sh that was killed"
if compgen -G "$TMPDIR/brink-drills.*" >/dev/null; then fail "folders are left: $(compgen -G "$TMPDIR/brink-drills.*")"; fi

# What an owner who still lives has written down is nobody else's to put back.
take_machine || fail "the machine's journal cannot be had"
echo "sysctl net.netfilter.nf_conntrack_max 1" >>"$MACHINE_JOURNAL"
repair_machine
[[ $(<"$tracked") == "$before" && -e $MACHINE_JOURNAL ]] || fail "the journal of a living process was undone"
if (take_machine); then fail "a machine that is taken was taken again"; fi
# Nor is a line believed that is not about one of the sysctls.
printf '%s\n' "$$ $(started_at $$)" "sysctl kernel.hostname 1" "sysctl vm.max_map_count x" "sysctl ../../etc/x 1" >"$MACHINE_JOURNAL"
host=$(<"$(sysctl_file kernel.hostname)")
undo_machine 2>undo.err
[[ $(<"$(sysctl_file kernel.hostname)") == "$host" && $(grep -c 'not believed' undo.err) == 3 && ! -e $MACHINE_JOURNAL ]] ||
    fail "a journal's nonsense was believed: $(cat undo.err)"
[[ $DRILL_TAG == "$own_tag" ]]
