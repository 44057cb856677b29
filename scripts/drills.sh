#!/usr/bin/env bash
# Drills: what the tests of `cargo test` cannot do, because it needs root, network namespaces,
# python3 or lowered limits. Load goes over loopback and private namespaces only.
#
#   scripts/drills.sh               all drills
#   scripts/drills.sh NAME...       these
#   scripts/drills.sh --list        their names
#   scripts/drills.sh --clean       none: only puts back what killed ones have left
#
# BRINK names the program [target/release/brink]. DRILL_KEEP=1 keeps the folders of failed drills.
# One line per drill on stdout, the totals alone on the last one; the rows of the limits and the end of the log
# of a drill that failed go to stderr. Ends with 0 only if every drill passed and the machine is as it was.
# What drills that were killed have left changed is put back first.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
# shellcheck source-path=SCRIPTDIR/drills source=journal.sh
. "$here/drills/journal.sh"

# Name, and the seconds after which it is ended.
drills=(
    two_hosts:60 nofile_client_and_target:60 target_emfile:90 port_range:45 non_root:45
    dies_with_parent:60 signals:45 hidden_proc:45 foreign_echo:75 frame_abuse:60 open_stall:90 python_targets:360
    background:90 many_processes:240 nginx_redis:120 readme:300 validity:210 follow:150 report:420 python_claims:120 slopes:240
    claims:480 claims_survive:180 accuracy:150
    # The matrix of limits.
    limits_nofile:180 limits_ports:120 limits_target:240 limits_backlog:120 limits_threads:180 limits_memory:180
    limits_machine:150 limits_firewall:150 limits_survive:120 limits_put_back:60
)
# What other drills run.
hidden=(limits_victim:60)

names() {
    local row
    for row in "${drills[@]}"; do echo "${row%%:*}"; done
}

seconds_of() {
    local row
    for row in "${drills[@]}" "${hidden[@]}"; do
        if [[ ${row%%:*} == "$1" ]]; then
            echo "${row##*:}"
            return
        fi
    done
    return 1
}

if [[ ${1:-} == --list ]]; then
    names
    exit 0
fi
if [[ ${1:-} == --clean ]]; then chosen=(); elif (($# > 0)); then chosen=("$@"); else mapfile -t chosen < <(names); fi
for name in "${chosen[@]}"; do
    seconds_of "$name" >/dev/null || {
        echo "drills.sh: no drill \`$name\`; there are: $(names | tr '\n' ' ')" >&2
        exit 2
    }
done

folders=${TMPDIR:-/tmp}/brink-drills

# Ends and puts back what a drill left behind, which happens only if it was killed before it could clean up.
sweep_up() { # TAG FOLDER
    local pid began ns
    repair_machine >&2
    if [[ -f $2/pids ]]; then
        while read -r pid began; do
            # The same number may be another process by now: the time of its start tells.
            if [[ -n $began && $(started_at "$pid") == "$began" ]]; then kill -KILL "$pid" 2>/dev/null || true; fi
        done <"$2/pids"
    fi
    # What a drill waits for itself is not in its list, but bears its tag.
    { grep -lzxF "DRILL_TAG=$1" /proc/[0-9]*/environ 2>/dev/null || true; } | while read -r pid; do
        pid=${pid#/proc/}
        kill -KILL "${pid%/environ}" 2>/dev/null || true
    done
    undo_groups "$2/changes"
    for ns in "$1a" "$1b"; do
        [[ -e /run/netns/$ns ]] || continue
        # All processes in a namespace that a drill made are the drill's.
        ip netns pids "$ns" | while read -r pid; do kill -KILL "$pid" 2>/dev/null || true; done
        ip netns del "$ns" || true
    done
}

# The same for whole runs that were killed: their folders are still there.
sweep_up_stale() {
    local folder drill pid began
    for folder in "$folders".*; do
        [[ -d $folder && ! -L $folder && -O $folder && -f $folder/owner ]] || continue
        read -r pid began <"$folder/owner" || continue
        if [[ -z $began || $(started_at "$pid") == "$began" ]]; then continue; fi
        echo "drills.sh: cleaning up after $folder, which was killed" >&2
        for drill in "$folder"/*/; do
            if [[ -f $drill/tag ]]; then sweep_up "$(cat "$drill/tag")" "$drill"; fi
        done
        rm -rf "$folder"
    done
    repair_machine >&2
}

if [[ ${1:-} == --clean ]]; then
    sweep_up_stale
    exit 0
fi

given=${BRINK:-$root/target/release/brink}
if [[ ! -x $given ]]; then
    echo "drills.sh: $given is not a program: build it with cargo build --release, or name it with BRINK" >&2
    exit 2
fi

all=$(mktemp -d "$folders.XXXXXX")
echo "$$ $(started_at $$)" >"$all/owner"
running=
kept=

stop() { # SIGNAL CODE
    trap '' INT TERM
    if [[ -n $running ]]; then
        kill -TERM "$running" 2>/dev/null || true
        wait "$running" || true
    fi
    echo "drills.sh: stopped by SIG$1" >&2
    exit "$2"
}

finish() {
    local folder
    for folder in "$all"/*/; do
        if [[ -d $folder ]]; then sweep_up "$(cat "$folder/tag" 2>/dev/null || echo none)" "$folder"; fi
    done
    # Without its owner it is nobody's who was killed.
    if [[ -n $kept ]]; then rm -f "$all/owner" && echo "drills.sh: kept $all" >&2; else rm -rf "$all"; fi
}
trap finish EXIT
trap 'stop INT 130' INT
trap 'stop TERM 143' TERM

# A copy: a build meanwhile changes nothing under a drill, and any user can run it.
chmod 755 "$all"
mkdir "$all/bin"
install -m 755 "$given" "$all/bin/brink"

sweep_up_stale
prefix=bd$$n
# Others may have changed the machine for a moment: what is the same twice, and in nobody's journal, is how it was.
for ((number = 0; number < 120; number++)); do
    machine_state "$prefix" >"$all/before"
    sleep 0.25
    machine_state "$prefix" >"$all/after"
    if cmp -s "$all/before" "$all/after" && [[ ! -e $MACHINE_JOURNAL ]]; then break; fi
done

passed=0
failed=0
number=0
for name in "${chosen[@]}"; do
    number=$((number + 1))
    folder=$all/$number-$name
    mkdir -m 755 "$folder"
    tag=$prefix$number
    echo "$tag" >"$folder/tag"
    log=$folder/log
    seconds=$(seconds_of "$name")
    env --default-signal=INT \
        BRINK="$all/bin/brink" DRILL_NAME="$name" DRILL_TAG="$tag" DRILL_WORK="$folder" DRILL_ROOT="$root" \
        PATH="$all/bin:$PATH" \
        timeout --kill-after=15 "$seconds" bash "$here/drills/$name.sh" >"$log" 2>&1 </dev/null &
    running=$!
    code=0
    began=$SECONDS
    wait "$running" || code=$?
    running=
    if ((code == 0)); then
        echo "ok $name"
        passed=$((passed + 1))
    else
        why=$(sed -n 's/^FAIL: //p' "$log" | tail -n 1)
        if [[ $code == 124 ]] || ((code == 137 && SECONDS - began >= seconds)); then
            why="did not end within $seconds s${why:+; $why}"
        fi
        echo "FAILED $name: ${why:-ended with $code: $(tail -n 1 "$log")}"
        failed=$((failed + 1))
        tail -n 25 "$log" | sed "s/^/    $name: /" >&2
        if [[ -n ${DRILL_KEEP:-} ]]; then kept=1; fi
    fi
    sed -n "s/^row: /    $name: /p" "$log" >&2
    sweep_up "$tag" "$folder"
done

# Others may have changed the machine for a moment: what is left is still there a little later.
name=machine_as_before
for ((number = 0; number < 20; number++)); do
    machine_state "$prefix" >"$all/after"
    if diff "$all/before" "$all/after" >"$all/differs"; then break; fi
    sleep 0.25
done
if [[ -s $all/differs ]]; then
    echo "FAILED $name: $(grep '^[<>]' "$all/differs" | tr '\n' ';')"
    failed=$((failed + 1))
else
    echo "ok $name"
    passed=$((passed + 1))
fi
echo "$passed passed, $failed failed"
((failed == 0))
