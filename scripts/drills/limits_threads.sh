#!/usr/bin/env bash
# Threads that cannot be made: EAGAIN, and six causes. nproc of a user, pids of a control group and of one above it, process
# numbers; for the target's threads and for the client's.
# shellcheck source-path=SCRIPTDIR source=limits_lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/limits_lib.sh"
need root python3 prlimit setpriv unshare
# shellcheck disable=SC2207 # words
user=($(as_lonely_user))
few=(prlimit --nproc=400:400 "${user[@]}")
many=(prlimit --nproc=4000:4000 "${user[@]}")

nproc() {
    local model
    for model in threads pool; do
        # shellcheck disable=SC2046 # flags are words
        a_target "nproc_$model.target" "${few[@]}" -- --model "$model" $(model_flags "$model")
        check_limit "$TARGET_PID" "Max processes" 400
        climb "nproc_$model" 1000 -- "${AT[@]}"
        expect "nproc_$model" limit=rlimit.nproc end=target confidence=confirmed value=400 observed=350..400 errno=EAGAIN
        end_target
    done
    a_target nproc_more "${many[@]}" -- --model threads
    climb nproc_raised 600 -- "${AT[@]}"
    expect_none nproc_raised 600
    end_target
    a_target roomy -- --model mio
    climb nproc_client 1000 "${few[@]}" -- "${AT[@]}" --engine threads
    expect nproc_client limit=rlimit.nproc end=client confidence=confirmed value=400 observed=350..400 errno=EAGAIN
    climb nproc_client_raised 600 "${many[@]}" -- "${AT[@]}" --engine threads
    expect_none nproc_client_raised 600
    # Both ends are the same user's, and draw on the same 400.
    climb nproc_both 1000 "${few[@]}" -- --model threads
    expect nproc_both limit=rlimit.nproc end=target confidence=confirmed value=400 observed=350..400 predicted_end=client,target
    end_target
}

pids() {
    local version above
    version=$(cgroup_version pids)
    [[ -n $version ]] || fail "prerequisite missing: control groups with the controller pids"
    impossible "pids_of_cgroup_version_$((3 - version))" "the controller pids is on version $version here: $(cgroup_parent pids)"
    make_group pids one
    echo 300 >"$GROUP/pids.max"
    a_target pids_target.target "${into[@]}" "$GROUP" -- --model threads
    check_group "$TARGET_PID" "$GROUP"
    climb pids_target 1000 -- "${AT[@]}"
    expect pids_target limit=cgroup.pids.max end=target confidence=confirmed value=300 observed=250..300 errno=EAGAIN
    echo 4000 >"$GROUP/pids.max"
    climb pids_raised 600 -- "${AT[@]}"
    expect_none pids_raised 600
    end_target

    make_group pids above
    above=$GROUP
    echo 300 >"$above/pids.max"
    make_group pids above/below
    a_target pids_ancestor.target "${into[@]}" "$GROUP" -- --model threads
    check_group "$TARGET_PID" "$GROUP"
    climb pids_ancestor 1000 -- "${AT[@]}"
    expect pids_ancestor limit=cgroup.pids.max end=target confidence=confirmed value=300 observed=250..300 "fix=$above"
    end_target

    make_group pids client
    echo 300 >"$GROUP/pids.max"
    a_target roomy_pids -- --model mio
    climb pids_client 1000 "${into[@]}" "$GROUP" -- "${AT[@]}" --engine threads
    expect pids_client limit=cgroup.pids.max end=client confidence=confirmed value=300 observed=250..300 errno=EAGAIN
    # A group that both ends are in.
    climb pids_both 1000 "${into[@]}" "$GROUP" -- --model threads
    expect pids_both limit=cgroup.pids.max end=target confidence=confirmed value=300 observed=250..300 predicted_end=client,target
    echo 4000 >"$GROUP/pids.max"
    climb pids_client_raised 600 "${into[@]}" "$GROUP" -- "${AT[@]}" --engine threads
    expect_none pids_client_raised 600
    end_target
}

# A namespace of its own for process numbers, in which they end at MAX.
# shellcheck disable=SC2016 # for the inner shell
numbers_end_at=(unshare --pid --fork --mount-proc --kill-child sh -c 'echo "$0" >/proc/sys/kernel/pid_max && exec "$@"')

# Whether what a namespace sets is its own, which it is since Linux 6.14: looked at, with the machine's value in the
# journal, since before that it is the machine's.
pid_max_is_of_namespace() {
    local whole
    whole=$(<"$(sysctl_file kernel.pid_max)")
    set_machine kernel.pid_max "$whole"
    "${numbers_end_at[@]}" $((whole - 1)) true || return 1
    [[ $(<"$(sysctl_file kernel.pid_max)") == "$whole" ]]
}

pid_max() {
    if ! pid_max_is_of_namespace; then
        give_back_machine
        impossible pid_max "kernel.pid_max of a pid namespace is that of the whole machine with Linux $(uname -r)"
        return
    fi
    give_back_machine
    a_target pid_max_target.target "${numbers_end_at[@]}" 900 -- --model threads
    climb pid_max_target 1500 -- "${AT[@]}"
    # Numbers below 300 are given out once only: kernel/pid.c, RESERVED_PIDS.
    expect pid_max_target limit=kernel.pid_max end=target confidence=confirmed value=900 observed=580..899 errno=EAGAIN
    end_target
    a_target pid_max_more "${numbers_end_at[@]}" 4000 -- --model threads
    climb pid_max_raised 900 -- "${AT[@]}"
    expect_none pid_max_raised 900
    end_target
    a_target roomy_numbers -- --model mio
    climb pid_max_client 1500 "${numbers_end_at[@]}" 900 -- "${AT[@]}" --engine threads
    expect pid_max_client limit=kernel.pid_max end=client confidence=confirmed value=900 observed=580..899 errno=EAGAIN
    end_target
}

nproc
pids
pid_max
rows_done
