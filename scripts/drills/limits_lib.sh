# shellcheck shell=bash
# What the drills of limits share: climbs, what they must find, and the limits that they lower.
# Sourced after nothing else; it sources lib.sh. A row that is wrong is noted and the next one runs, so that the
# log is the whole table; `rows_done` at the end of a drill fails if any was.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

wrong_rows=()
rows=0
# For a connect or a reply. A row that meets silence sets it lower for its climb: it waits so long again and again.
PATIENCE=2s
# What targets that are not brink's run on: the interpreter itself, where `python3` is a script that finds it.
PYTHON=$(python3 -c 'import sys; print(sys.executable)' 2>/dev/null) || fail "prerequisite missing: python3"
# A user that nobody else is: the threads of a user are counted over the whole machine.
LONELY_UID=$((2000000000 + $$))

# ---- climbs ------------------------------------------------------------------------------------

CLIMB=(ceiling --hold 500ms --heartbeat 250ms --format json)
FLOOR=(--memory-floor 0)

# Words before `--` go to `prefix`; `taken` is their number, with the `--`.
take_prefix() { # [PREFIX ...] -- ...
    prefix=()
    while [[ $1 != -- ]]; do
        prefix+=("$1")
        shift
    done
    taken=$((${#prefix[@]} + 1))
}

# Climbs to STOP_AT connections, or to where something gives. Before `--`: what brink runs under.
climb() { # NAME STOP_AT [PREFIX ...] -- [FLAG ...]
    local name=$1 stop_at=$2
    shift 2
    take_prefix "$@"
    shift "$taken"
    local began=$SECONDS
    run 60 "$name" "${prefix[@]}" "$BRINK" "${CLIMB[@]}" --timeout "$PATIENCE" --stop-at "$stop_at" "$@"
    echo "    $name: ended with $RC after $((SECONDS - began)) s"
}

# Judges the last climb of that name; the keys are those of tool.py row.
expect() { # NAME KEY=VALUE ...
    local name=$1
    shift
    rows=$((rows + 1))
    if [[ ! -s $name.out ]]; then
        echo "row: $name: WRONG: ended with $RC and no result: $(tail -n 1 "$name.err" | cut -c 1-300)"
    elif timeout --foreground 20 python3 "$tool" row "$name.out" "$name" "$@"; then
        return 0
    fi
    wrong_rows+=("$name")
}

# The negative control: with the limit out of the way nothing is blamed.
expect_none() { # NAME COUNT
    rows=$((rows + 1))
    if [[ ! -s $1.out ]]; then
        echo "row: $1: WRONG: ended with $RC and no result: $(tail -n 1 "$1.err" | cut -c 1-300)"
    elif timeout --foreground 20 python3 "$tool" none "$1.out" "$1" "$2"; then
        return 0
    fi
    wrong_rows+=("$1")
}

# A row that cannot be met on this machine, and why: checked by looking, by whoever calls this.
impossible() { # NAME WHY ...
    local name=$1
    shift
    echo "row: $name: impossible here: $*"
}

rows_done() {
    give_back_machine
    if ((${#wrong_rows[@]} > 0)); then fail "${#wrong_rows[@]} of $rows rows are wrong: ${wrong_rows[*]}"; fi
    ((rows > 0)) || fail "no row ran"
    echo "$rows rows"
}

# ---- targets -----------------------------------------------------------------------------------

# Starts one of brink's; before `--`: what it runs under. Afterwards AT has the flags that lead to it, TARGET_PID
# its process.
AT=()
TARGET_PID=
a_target() { # NAME [PREFIX ...] -- [FLAG ...]
    local name=$1
    shift
    take_prefix "$@"
    shift "$taken"
    bg_target "$name" "${prefix[@]}" "$BRINK" target --listen 127.0.0.1:0 "$@"
    AT=(--target "$ADDRESS" --control "$CONTROL")
    TARGET_PID=$(sed -n '1s/.*"pid": *\([0-9]*\).*/\1/p' "$name.out")
}

# Starts one that is not brink's, whose process is told.
a_stranger() { # NAME [PREFIX ...] -- SCRIPT [FLAG ...]
    local name=$1
    shift
    take_prefix "$@"
    shift "$taken"
    bg_target "$name" "${prefix[@]}" "$PYTHON" "$@"
    TARGET_PID=$(sed -n '1s/.*"pid": *\([0-9]*\).*/\1/p' "$name.out")
    AT=(--target "$ADDRESS" --pid "$TARGET_PID")
}

# Ends the target that was started last.
end_target() { end "$LAST_PID"; }

# What the kernel lets a process have. Fails unless the process really is under it.
check_limit() { # PID NAME-OF-/proc/PID/limits VALUE
    local said
    said=$(sed -n "s/^$2 *\([0-9a-z]*\) .*/\1/p" "/proc/$1/limits")
    [[ $said == "$3" ]] || fail "$2 of process $1 is $said instead of $3"
}

# ---- users -------------------------------------------------------------------------------------

# Without a right of root's. Before the program: setpriv's own flags.
as_lonely_user() { echo setpriv --reuid="$LONELY_UID" --regid="$LONELY_UID" --clear-groups --inh-caps=-all; }

# ---- control groups ----------------------------------------------------------------------------

# The folder under which this process may make groups of a controller: its own group of version 1, or, with version
# 2, the root, since a group with processes in it cannot hand a controller down. Empty where there is none.
cgroup_parent() { # CONTROLLER
    local mounted path
    mounted=$(awk -v c="$1" '$3 == "cgroup" && ("," $4 ",") ~ ("," c ",") { print $2; exit }' /proc/self/mounts)
    if [[ -n $mounted ]]; then
        path=$(awk -F: -v c="$1" '("," $2 ",") ~ ("," c ",") { print $3; exit }' /proc/self/cgroup)
        # A group of another view than this mount's; the root has no name of its own.
        if [[ ! -d $mounted$path || $path == / ]]; then path=; fi
        echo "$mounted$path"
        return
    fi
    mounted=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)
    if [[ -n $mounted ]] && grep -qw "$1" "$mounted/cgroup.subtree_control" 2>/dev/null; then echo "$mounted"; fi
}

# Version of the hierarchy that a controller is on: 1, 2, or nothing.
cgroup_version() { # CONTROLLER
    if awk -v c="$1" '$3 == "cgroup" && ("," $4 ",") ~ ("," c ",") { found = 1 } END { exit !found }' /proc/self/mounts; then
        echo 1
    elif [[ -n $(cgroup_parent "$1") ]]; then
        echo 2
    fi
}

# Makes a control group, below another of these if there is a `/` in its name; its folder is in GROUP afterwards.
GROUP=
make_group() { # CONTROLLER NAME
    local parent
    parent=$(cgroup_parent "$1")
    [[ -n $parent ]] || fail "prerequisite missing: control groups with the controller $1"
    GROUP=$parent/$DRILL_TAG$2
    echo "cgroup $GROUP" >>"$DRILL_WORK/changes"
    mkdir "$GROUP" || fail "prerequisite missing: the right to make control groups ($GROUP)"
    # Version 2 hands a controller down only where it is told to.
    if [[ $2 == */* && -e $GROUP/../cgroup.subtree_control ]]; then
        echo "+$1" >"$GROUP/../cgroup.subtree_control" || fail "cannot hand $1 down to $GROUP"
    fi
}

# The command that puts a program into a control group and then is that program.
# shellcheck disable=SC2016 # for the inner shell
into=(sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"')

# Fails unless a process is in that group.
check_group() { # PID GROUP
    grep -qx "$1" "$2/cgroup.procs" || fail "process $1 is not in $2"
}
