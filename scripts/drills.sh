#!/usr/bin/env bash
# Drills: what the tests of `cargo test` cannot do, because it needs root, network namespaces,
# python3 or lowered limits. Load goes over loopback and private namespaces only.
#
#   scripts/drills.sh               all drills
#   scripts/drills.sh NAME...       these
#   scripts/drills.sh --list        their names
#
# BRINK names the program [target/release/brink]. DRILL_KEEP=1 keeps the folders of failed drills.
# One line per drill on stdout, the totals alone on the last one; the end of the log of a drill
# that failed goes to stderr. Ends with 0 only if every drill passed.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")

# Name, and the seconds after which it is ended.
drills=(
    two_hosts:60 nofile_client_and_target:60 target_emfile:90 port_range:45 non_root:45
    dies_with_parent:60 signals:45 hidden_proc:45 foreign_echo:75 frame_abuse:60 open_stall:90 python_targets:300
    nginx_redis:120 readme:300
)

names() {
    local row
    for row in "${drills[@]}"; do echo "${row%%:*}"; done
}

seconds_of() {
    local row
    for row in "${drills[@]}"; do
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
if (($# > 0)); then chosen=("$@"); else mapfile -t chosen < <(names); fi
for name in "${chosen[@]}"; do
    seconds_of "$name" >/dev/null || {
        echo "drills.sh: no drill \`$name\`; there are: $(names | tr '\n' ' ')" >&2
        exit 2
    }
done

given=${BRINK:-$root/target/release/brink}
if [[ ! -x $given ]]; then
    echo "drills.sh: $given is not a program: build it with cargo build --release, or name it with BRINK" >&2
    exit 2
fi

all=$(mktemp -d "${TMPDIR:-/tmp}/brink-drills.XXXXXX")
running=
kept=

# Ends what a drill left behind, which happens only if it was killed before it could clean up.
sweep_up() { # TAG FOLDER
    local pid began ns
    if [[ -f $2/pids ]]; then
        while read -r pid began; do
            # The same number may be another process by now: the time of its start tells.
            if [[ $(started_at "$pid") == "$began" ]]; then kill -KILL "$pid" 2>/dev/null || true; fi
        done <"$2/pids"
    fi
    for ns in "$1a" "$1b"; do
        [[ -e /run/netns/$ns ]] || continue
        # All processes in a namespace that a drill made are the drill's.
        ip netns pids "$ns" | while read -r pid; do kill -KILL "$pid" 2>/dev/null || true; done
        ip netns del "$ns" || true
    done
}

started_at() { # PID: in clock ticks since boot, proc_pid_stat(5)
    local line
    read -r line 2>/dev/null <"/proc/$1/stat" || return 0
    line=${line##*) }
    # shellcheck disable=SC2086 # fields of a line
    set -- $line
    echo "${20}"
}

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
    if [[ -n $kept ]]; then echo "drills.sh: kept $all" >&2; else rm -rf "$all"; fi
}
trap finish EXIT
trap 'stop INT 130' INT
trap 'stop TERM 143' TERM

# A copy: a build meanwhile changes nothing under a drill, and any user can run it.
chmod 755 "$all"
mkdir "$all/bin"
install -m 755 "$given" "$all/bin/brink"

passed=0
failed=0
number=0
for name in "${chosen[@]}"; do
    number=$((number + 1))
    folder=$all/$number-$name
    mkdir -m 755 "$folder"
    tag=bd$$n$number
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
    sweep_up "$tag" "$folder"
done
echo "$passed passed, $failed failed"
((failed == 0))
