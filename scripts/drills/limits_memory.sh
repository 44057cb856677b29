#!/usr/bin/env bash
# Memory of a process and of a control group: address space with large and small stacks, mappings, a bound that the
# kernel kills for.
# shellcheck source-path=SCRIPTDIR source=limits_lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/limits_lib.sh"
need root python3 prlimit
# glibc's malloc takes 64 MiB for each arena, and makes eight of them per CPU for as many threads: mallopt(3), M_ARENA_MAX.
# They are made long before a bound that leaves this much beside them, so that what is left is for stacks.
arenas=$((($(nproc) * 8) << 26))
large=$((arenas + (3 << 30)))
small=$((arenas + (1 << 29)))

address_space() {
    # 8 MiB for each of them, touched or not.
    a_target as_large.target prlimit --as=$large:$large -- --model threads
    check_limit "$TARGET_PID" "Max address space" $large
    climb as_large 1500 -- "${AT[@]}"
    expect as_large limit=rlimit.as end=target confidence=confirmed value=$large observed=300..400
    end_target
    # The same with 64 KiB carries what was too much.
    a_target as_raised.target prlimit --as=$large:$large -- --model threads --stack-size 64KiB
    climb as_raised 1500 -- "${AT[@]}"
    expect_none as_raised 1500
    end_target
    a_target as_small.target prlimit --as=$small:$small -- --model threads --stack-size 64KiB
    climb as_small 9000 -- "${AT[@]}"
    expect as_small limit=rlimit.as end=target confidence=confirmed value=$small observed=4000..8000
    end_target
    a_target roomy -- --model mio
    climb as_client 9000 prlimit --as=$small:$small -- "${AT[@]}" --engine threads
    expect as_client limit=rlimit.as end=client confidence=confirmed value=$small observed=4000..8000
    end_target
}

# Most mappings of any process: lowering the bound below that would hurt a stranger.
most_mappings() {
    { wc -l /proc/[0-9]*/maps 2>/dev/null || true; } | awk '$2 != "total" && $1 > most { most = $1 } END { print most + 0 }'
}

mappings() {
    local most
    most=$(most_mappings)
    ((most < 6000)) || fail "a process has $most mappings: vm.max_map_count cannot be lowered to 12000 here"
    # Each end looks at the bound when it starts.
    set_machine vm.max_map_count 12000
    a_target maps_target.target -- --model threads
    climb maps_target 4000 -- "${AT[@]}"
    give_back_machine
    expect maps_target limit=vm.max_map_count end=target confidence=confirmed value=12000 observed=2500..3000
    end_target
    a_target roomy_maps -- --model mio
    set_machine vm.max_map_count 12000
    climb maps_client 4000 -- "${AT[@]}" --engine threads
    give_back_machine
    expect maps_client limit=vm.max_map_count end=client confidence=confirmed value=12000 observed=2500..3000
    end_target
    a_target maps_raised.target -- --model threads
    climb maps_raised 4000 -- "${AT[@]}"
    expect_none maps_raised 4000
    end_target
}

bound_memory() { # BYTES
    if [[ -e $GROUP/memory.max ]]; then
        echo "$1" >"$GROUP/memory.max"
        echo 0 >"$GROUP/memory.swap.max" 2>/dev/null || true
    else
        echo "$1" >"$GROUP/memory.limit_in_bytes"
    fi
}

# A floor of nothing: the kernel is to do what it does.
control_group() {
    local version
    version=$(cgroup_version memory)
    [[ -n $version ]] || fail "prerequisite missing: control groups with the controller memory"
    impossible "memory_of_cgroup_version_$((3 - version))" "the controller memory is on version $version here: $(cgroup_parent memory)"
    make_group memory target
    bound_memory $((48 << 20))
    climb memory_target 6000 -- "${FLOOR[@]}" --command "sh -c 'echo \$\$ >$GROUP/cgroup.procs; exec $BRINK target --model threads --listen 127.0.0.1:{port}'"
    expect memory_target limit=cgroup.memory.max end=target confidence=confirmed value=$((48 << 20)) stopped_by=target_died \
        after=dead predicted=cgroup.memory.max evidence=oom_kill observed=500..5000
    bound_memory $((1024 << 20))
    climb memory_raised 3000 -- --command "sh -c 'echo \$\$ >$GROUP/cgroup.procs; exec $BRINK target --model threads --listen 127.0.0.1:{port}'"
    expect_none memory_raised 3000

    make_group memory client
    bound_memory $((48 << 20))
    a_target roomy_memory -- --model mio
    climb memory_client 6000 "${into[@]}" "$GROUP" -- "${AT[@]}" "${FLOOR[@]}" --engine threads
    expect memory_client limit=cgroup.memory.max end=client confidence=confirmed value=$((48 << 20)) \
        stopped_by=client_died predicted=cgroup.memory.max evidence=oom_kill observed=200..5000
    bound_memory $((1024 << 20))
    climb memory_client_raised 3000 "${into[@]}" "$GROUP" -- "${AT[@]}" --engine threads
    expect_none memory_client_raised 3000
    end_target
}

address_space
mappings
control_group
rows_done
