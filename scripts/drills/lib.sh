# shellcheck shell=bash
# What the drills share. Sourced by each of them; scripts/drills.sh gives it
#   BRINK       the program
#   DRILL_WORK  a folder of the drill's own, removed afterwards
#   DRILL_TAG   a prefix for its network namespaces
#   DRILL_ROOT  the repository
# A drill ends at its first `fail`. Whatever it started is ended by pid when it ends, however it does.
set -euo pipefail

if [[ -z ${BRINK:-} || -z ${DRILL_WORK:-} || -z ${DRILL_TAG:-} || -z ${DRILL_ROOT:-} ]]; then
    echo "run it as scripts/drills.sh $(basename "$0" .sh)" >&2
    exit 2
fi
drills_dir=$DRILL_ROOT/scripts/drills
tool=$drills_dir/tool.py
# shellcheck source-path=SCRIPTDIR source=journal.sh
. "$drills_dir/journal.sh"
cd "$DRILL_WORK"
export PYTHONDONTWRITEBYTECODE=1

# The namespaces that `two_namespaces` and `one_namespace` make.
NS_A=${DRILL_TAG}a
NS_B=${DRILL_TAG}b
started=()
RC=0
LAST_PID=
ADDRESS=
CONTROL=

fail() {
    echo "FAIL: $*"
    exit 1
}

# ---- what must be there ------------------------------------------------------------------------

need() { # root | netns | PROGRAM ...
    local what
    for what in "$@"; do
        case $what in
            root) [[ $(id -u) == 0 ]] || fail "prerequisite missing: root" ;;
            netns)
                command -v ip >/dev/null || fail "prerequisite missing: ip (iproute2)"
                ip netns add "$NS_A" 2>/dev/null || fail "prerequisite missing: the right to make network namespaces (ip netns add)"
                ip netns del "$NS_A"
                ;;
            *) command -v "$what" >/dev/null || fail "prerequisite missing: $what" ;;
        esac
    done
}

# ---- processes ---------------------------------------------------------------------------------

# Clock ticks of CPU time that a process used, user and system.
cpu_ticks() {
    local line
    { read -r line <"/proc/$1/stat"; } 2>/dev/null || fail "process $1 is gone"
    line=${line##*) }
    # shellcheck disable=SC2086 # fields of a line
    set -- $line
    echo $((${12} + ${13}))
}

# Whether a process runs: a zombie does not.
alive() {
    local line
    { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
    line=${line##*) }
    [[ ${line%% *} != Z ]]
}

# All descendants of a process, by the parents that /proc tells.
descendants() {
    local stat line pid child children=()
    for stat in /proc/[0-9]*/stat; do
        { read -r line <"$stat"; } 2>/dev/null || continue
        pid=${stat#/proc/}
        line=${line##*) }
        line=${line#* }
        if [[ ${line%% *} == "$1" ]]; then children+=("${pid%/stat}"); fi
    done
    for child in "${children[@]}"; do
        echo "$child"
        descendants "$child"
    done
}

# Starts a program in the background; its output goes to NAME.out and NAME.err, its pid to LAST_PID.
bg() { # NAME PROGRAM ...
    local name=$1
    shift
    echo "+ $* &"
    "$@" >"$name.out" 2>"$name.err" </dev/null &
    LAST_PID=$!
    started+=("$LAST_PID")
    echo "$LAST_PID $(started_at "$LAST_PID")" >>"$DRILL_WORK/pids"
}

# Runs a program and waits for it, but not longer than SECONDS. Its exit code is in RC afterwards.
run() { # SECONDS NAME PROGRAM ...
    local seconds=$1 name=$2
    shift 2
    local began=$SECONDS
    echo "+ $*"
    RC=0
    timeout --foreground --kill-after=3 "$seconds" "$@" >"$name.out" 2>"$name.err" </dev/null || RC=$?
    sed "s/^/    $name: /" "$name.err" | tail -n 6
    # 137 is also what somebody else's SIGKILL looks like.
    if [[ $RC == 124 ]] || ((RC == 137 && SECONDS - began >= seconds)); then fail "$name: did not end within $seconds s"; fi
    if grep -q panicked "$name.err"; then fail "$name: panicked: $(grep -m1 panicked "$name.err")"; fi
}

expect_rc() { # NAME CODE ...: one of these
    local name=$1 code
    shift
    for code in "$@"; do
        if [[ $RC == "$code" ]]; then return 0; fi
    done
    fail "$name: ended with $RC instead of $*: $(tail -n 1 "$name.err" | cut -c 1-300)"
}

# A failure says why in one line and nothing of what is not the reader's business.
expect_line() { # NAME PATTERN: the one line that begins the last complaint
    local name=$1 lines
    lines=$(grep -c . "$name.err") || true
    grep -Eq -- "$2" "$name.err" || fail "$name: stderr does not say /$2/: $(tail -n 1 "$name.err" | cut -c 1-300)"
    echo "    ($lines lines on stderr)"
}

wait_for() { # SECONDS WHAT PROGRAM ...: until it succeeds
    local seconds=$1 what=$2 end
    shift 2
    end=$((SECONDS + seconds))
    until "$@" >/dev/null 2>&1; do
        if ((SECONDS > end)); then fail "waited $seconds s in vain for: $what"; fi
        sleep 0.05
    done
}

gone() { ! alive "$1"; }

# Ends a process that `bg` started, kindly at first.
end() { # PID
    local n
    if alive "$1"; then
        kill -CONT "$1" 2>/dev/null || true
        kill -TERM "$1" 2>/dev/null || true
        for ((n = 0; n < 60; n++)); do
            if gone "$1"; then break; fi
            sleep 0.05
        done
        if alive "$1"; then kill -KILL "$1" 2>/dev/null || true; fi
    fi
    wait "$1" 2>/dev/null || true
}

# Two programs for each CPU that use it, until `at_ease`, but not for long.
busy=()
make_busy() {
    local n
    for ((n = 0; n < 2 * $(nproc); n++)); do
        bg "busy$n" timeout --kill-after=3 30 python3 "$drills_dir/busy.py" burn 20
        busy+=("$LAST_PID")
    done
}

at_ease() {
    local pid
    for pid in "${busy[@]}"; do end "$pid"; done
    busy=()
}

# Waits for a background process and leaves its exit code in RC.
reap() { # SECONDS PID
    wait_for "$1" "the end of process $2" gone "$2"
    RC=0
    wait "$2" || RC=$?
}

# ---- targets -----------------------------------------------------------------------------------

# Starts something that says {"address": .., "control": ..} in its first line, and waits for that.
bg_target() { # NAME PROGRAM ...
    local name=$1
    bg "$@"
    wait_for 10 "the ready line of $name ($(tail -n 1 "$name.err" 2>/dev/null))" grep -q address "$name.out"
    ADDRESS=$(sed -n '1s/.*"address": *"\([^"]*\)".*/\1/p' "$name.out")
    CONTROL=$(sed -n '1s/.*"control": *"\([^"]*\)".*/\1/p' "$name.out")
    [[ -n $ADDRESS ]] || fail "$name: no address in its ready line: $(head -n 1 "$name.out")"
}

models() { # all that the program knows
    "$BRINK" target --model '?' 2>&1 | sed -n 's/.*allowed: //p' | tr -d ','
}

# Flags with which a model serves thousands of connections at once.
model_flags() { # MODEL
    if [[ $1 == pool ]]; then echo --threads 2000; fi
}

frame_models() { # those that do not speak HTTP
    models | sed 's/\bhyper\b//'
}

# ---- JSON --------------------------------------------------------------------------------------

# Checks a Python expression over a JSON file, which is `r` in it.
check_json() { # FILE EXPRESSION [WHAT]
    [[ -s $1 ]] || fail "${3:-$1}: there is no JSON"
    local said
    said=$(timeout --foreground 20 python3 "$tool" check "$1" "$2" 2>&1) || {
        echo "$said"
        fail "${3:-$1}: not so: $(tr -s ' \n' ' ' <<<"$2" | cut -c 1-160): $(tail -n 1 <<<"$said" | cut -c 1-500)"
    }
}

show_json() { # FILE EXPRESSION
    timeout --foreground 20 python3 "$tool" show "$1" "$2"
}

get() { # URL FILE [TOKEN]
    timeout --foreground 10 python3 "$tool" get "$1" ${3:+"$3"} >"$2" || fail "no answer from $1"
}

# What every result must be, whatever happened.
check_sums() { # FILE
    check_json "$1" 'all([
        r["connections"]["requested"] == sum(r["connections"][k] for k in ("opened", "failed", "not_attempted")),
        r["connections"]["opened"] == r["connections"]["closed_early"] + r["connections"]["live_at_end"],
        r["requests"]["intended"] == r["requests"]["completed"] + r["requests"]["failed"],
    ])' "$1: sums"
}

# All opened and nothing failed. How steady a busy machine was is not asked here.
check_clean() { # FILE CONNECTIONS
    check_sums "$1"
    check_json "$1" "r['connections']['opened'] == $2 and r['connections']['closed_early'] == 0
        and r['requests']['failed'] == 0 and r['failures'] == [] and r['failure_point'] is None
        and r['validity']['verdict'] in ('valid', 'unsteady', 'client_bound')" "$1: clean"
}

# ---- network namespaces ------------------------------------------------------------------------

one_namespace() {
    ip netns add "$NS_A"
    ip netns exec "$NS_A" ip link set lo up
}

# Two, joined by a cable: 192.0.2.1 (NS_A) and 192.0.2.2 (NS_B), from TEST-NET-1, RFC 5737.
two_namespaces() {
    one_namespace
    ip netns add "$NS_B"
    ip netns exec "$NS_B" ip link set lo up
    ip link add name v0 netns "$NS_A" type veth peer name v0 netns "$NS_B"
    ip netns exec "$NS_A" ip address add 192.0.2.1/24 dev v0
    ip netns exec "$NS_B" ip address add 192.0.2.2/24 dev v0
    ip netns exec "$NS_A" ip link set v0 up
    ip netns exec "$NS_B" ip link set v0 up
}

in_a() { ip netns exec "$NS_A" "$@"; }
in_b() { ip netns exec "$NS_B" "$@"; }

# ---- the machine -------------------------------------------------------------------------------

MACHINE_IS_MINE=

# Sets a sysctl of the whole machine, for as short a time as can be. Only one drill of the machine does so at a time.
set_machine() { # NAME VALUE
    local file old
    file=$(sysctl_file "$1")
    is_machine_sysctl "$1" || fail "$1 is not among those that journal.sh puts back"
    [[ -e $file ]] || fail "prerequisite missing: $1"
    if [[ -z $MACHINE_IS_MINE ]]; then
        [[ -w $(dirname "$MACHINE_JOURNAL") ]] || fail "prerequisite missing: the right to write $MACHINE_JOURNAL"
        wait_for 60 "another drill that has changed the machine ($MACHINE_JOURNAL)" take_machine
        MACHINE_IS_MINE=1
    fi
    old=$(<"$file")
    echo "sysctl $1 $old" >>"$MACHINE_JOURNAL"
    echo "+ $1 = $2 (was $old)"
    echo "$2" >"$file" || fail "prerequisite missing: the right to set $1"
    [[ $(<"$file") == "$2" ]] || fail "$1 is $(<"$file") after it was set to $2"
}

give_back_machine() {
    if [[ -n $MACHINE_IS_MINE ]]; then
        undo_machine || echo "FAIL: the machine's sysctls are not put back; $MACHINE_JOURNAL says what they were"
        MACHINE_IS_MINE=
    fi
}

# ---- the end -----------------------------------------------------------------------------------

cleanup() {
    local code=$? pid ns
    trap '' INT TERM
    set +e
    # What the whole machine suffers from goes first.
    give_back_machine
    for pid in "${started[@]}"; do end "$pid"; done
    undo_groups "$DRILL_WORK/changes"
    for ns in "$NS_A" "$NS_B"; do
        [[ -e /run/netns/$ns ]] || continue
        # Nobody but this drill knows the namespace.
        ip netns pids "$ns" | while read -r pid; do kill -KILL "$pid" 2>/dev/null; done
        ip netns del "$ns"
    done
    exit "$code"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
