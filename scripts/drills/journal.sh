# shellcheck shell=bash
# What a drill changes outside of its own processes is written down before it is changed, so that it is put back also
# when the drill, or drills.sh with it, is killed. Sourced by lib.sh and by scripts/drills.sh. Two journals:
#   $DRILL_WORK/changes   what bears the drill's tag and nobody else's: control groups
#   MACHINE_JOURNAL       sysctls of the whole machine. Its first line is the process that changed them. There is one for
#                         the machine, so it is a lock as well: two drills that lower the same sysctl would each take
#                         the other's value for the one to put back.

# In /run: only root can write there, and it is as empty after a boot as the sysctls are new.
MACHINE_JOURNAL=${MACHINE_JOURNAL:-/run/brink-drills.journal}
# The only ones that a drill lowers for the whole machine, or that a journal is believed about.
MACHINE_SYSCTLS=(fs.file-max kernel.pid_max kernel.threads-max net.netfilter.nf_conntrack_max vm.max_map_count)

# Clock ticks since boot at which a process began, proc_pid_stat(5); empty if there is none, or only a zombie.
started_at() { # PID
    local line
    { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 0
    line=${line##*) }
    if [[ ${line%% *} == [ZX] ]]; then return 0; fi
    # shellcheck disable=SC2086 # fields of a line
    set -- $line
    echo "${20}"
}

sysctl_file() { echo "/proc/sys/${1//.//}"; } # NAME

is_machine_sysctl() { # NAME
    local name
    for name in "${MACHINE_SYSCTLS[@]}"; do [[ $name == "$1" ]] && return 0; done
    return 1
}

# ---- sysctls of the machine --------------------------------------------------------------------

# Whether the process that wrote the machine's journal still runs. The same number may be another process by now.
machine_journal_is_alive() {
    local pid began
    read -r pid began <"$MACHINE_JOURNAL" || return 1
    [[ -n $began && $(started_at "$pid") == "$began" ]]
}

# Puts back what the journal says, the last change first, and removes it. Call it under the lock, or as its owner.
undo_machine() {
    local what name old
    [[ -e $MACHINE_JOURNAL ]] || return 0
    if [[ -L $MACHINE_JOURNAL || ! -f $MACHINE_JOURNAL || ! -O $MACHINE_JOURNAL ]]; then
        echo "$MACHINE_JOURNAL is not a file of ours: nothing in it is believed" >&2
        return 1
    fi
    while read -r what name old; do
        [[ $what == sysctl ]] || continue
        if ! is_machine_sysctl "$name" || [[ ! $old =~ ^[0-9]+$ ]]; then
            echo "$MACHINE_JOURNAL: not believed: $what $name $old" >&2
            continue
        fi
        echo "$old" >"$(sysctl_file "$name")" || return 1
        echo "put back $name = $old"
    done < <(tac "$MACHINE_JOURNAL")
    rm -f "$MACHINE_JOURNAL"
}

# Undoes what a drill that is no more has left. Says what it put back.
repair_machine() {
    [[ -e $MACHINE_JOURNAL ]] || return 0
    (
        flock 9
        if [[ ! -e $MACHINE_JOURNAL ]] || machine_journal_is_alive; then exit 0; fi
        undo_machine
    ) 9<"$(dirname "$MACHINE_JOURNAL")"
}

# Becomes the one who may change sysctls of the machine, or says that somebody else is.
take_machine() {
    (
        flock 9
        if [[ -e $MACHINE_JOURNAL ]]; then
            if machine_journal_is_alive; then exit 1; fi
            undo_machine || exit 1
        fi
        (umask 077 && set -C && echo "$$ $(started_at $$)" >"$MACHINE_JOURNAL")
    ) 9<"$(dirname "$MACHINE_JOURNAL")"
}

# ---- control groups ----------------------------------------------------------------------------

# Removes control groups of a drill's journal, the last made first; whoever is in one of them is the drill's.
undo_groups() { # JOURNAL
    local what folder n pid
    [[ -f $1 ]] || return 0
    while read -r what folder; do
        [[ $what == cgroup && -d $folder ]] || continue
        for ((n = 0; n < 100; n++)); do
            while read -r pid; do
                # 0 stands for a process of another namespace.
                if ((pid > 1)); then kill -KILL "$pid" 2>/dev/null || true; fi
            done 2>/dev/null <"$folder/cgroup.procs" || true
            # Busy until the kernel has done away with the last process.
            if rmdir "$folder" 2>/dev/null; then break; fi
            sleep 0.03
        done
        if [[ -d $folder ]]; then echo "control group $folder cannot be removed" >&2; fi
    done < <(tac "$1")
}

# ---- the state as a whole ----------------------------------------------------------------------

# Everything that a drill could have left changed, a line each. PREFIX is that of the tags of these drills.
machine_state() { # PREFIX
    local name file
    for name in "${MACHINE_SYSCTLS[@]}" net.core.somaxconn net.ipv4.ip_local_port_range \
        net.ipv4.ip_local_reserved_ports net.ipv4.tcp_tw_reuse net.ipv4.tcp_abort_on_overflow; do
        file=$(sysctl_file "$name")
        echo "sysctl $name $(tr -s '\t' ' ' 2>/dev/null <"$file" || echo unreadable)"
    done
    for file in /run/netns/"$1"* "$MACHINE_JOURNAL"; do
        if [[ -e $file ]]; then echo "left $file"; fi
    done
    # Five levels: deeper than any of them is made.
    find /sys/fs/cgroup -maxdepth 5 -type d -name "$1*" -printf 'left %p\n' 2>/dev/null | sort
    grep -F "/$1" /proc/self/mounts | sed 's/^/left mount /' || true
}
