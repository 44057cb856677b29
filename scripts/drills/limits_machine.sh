#!/usr/bin/env bash
# Limits of the whole machine, lowered for seconds and put back: open files, which do not bind root, and entries of
# connection tracking.
# shellcheck source-path=SCRIPTDIR source=limits_lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/limits_lib.sh"
need root netns python3 setpriv nft
# shellcheck disable=SC2207 # words
user=($(as_lonely_user))

files_in_use() { awk '{ print $1 - $2 }' /proc/sys/fs/file-nr; }

# Climbs while the machine has room for 12,800 files more. Others open and close files meanwhile: a climb during which
# they did so counts for nothing, and is made again. The kernel's own count is wrong by up to 32 files per CPU, in which
# case it lets more be opened (fs/file_table.c, alloc_empty_file): with so many that is less than a hundredth, up to 4 CPUs.
climb_with_few_files() { # NAME [PREFIX ...] -- [FLAG ...]
    local name=$1 before off n
    shift
    for ((n = 0; n < 4; n++)); do
        before=$(files_in_use)
        set_machine fs.file-max $((before + 12800))
        PATIENCE=1s climb "$name" 8000 "$@"
        give_back_machine
        sleep 0.2
        off=$(($(files_in_use) - before))
        if ((off >= -8 && off <= 8)); then return; fi
        echo "    $name: others opened or closed $off files meanwhile"
    done
}

# Both ends' sockets count, whosever they are; only whom it binds is refused.
files() {
    a_target files_target.target "${user[@]}" -- --model mio
    climb_with_few_files files_target -- "${AT[@]}"
    expect files_target limit=fs.file-max end=target confidence=confirmed,likely observed=6300..6464 errno=ENFILE
    climb files_target_raised 6600 -- "${AT[@]}"
    expect_none files_target_raised 6600
    end_target
    a_target roomy -- --model mio
    climb_with_few_files files_client "${user[@]}" -- "${AT[@]}"
    expect files_client limit=fs.file-max end=client confidence=confirmed,likely observed=6300..6464 errno=ENFILE
    climb files_client_raised 6600 "${user[@]}" -- "${AT[@]}"
    expect_none files_client_raised 6600
    end_target
}

# Climbs with room for 600 entries, of the namespace: the bound is one for the machine, the count is the namespace's.
climb_with_few_entries() { # NAME
    set_machine net.netfilter.nf_conntrack_max 600
    PATIENCE=1s climb "$1" 1500 "${in_ns[@]}" -- "${AT[@]}"
    give_back_machine
}

# Rules of the namespace that track connections. The entry of one that was reset would stay for ten seconds, and be in the
# way of the next one.
track() {
    "${in_ns[@]}" sh -c 'echo 1 >/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close' ||
        fail "prerequisite missing: net.netfilter.nf_conntrack_tcp_timeout_close"
    "${in_ns[@]}" nft -f - <<'NFT' || fail "prerequisite missing: nftables with connection tracking"
table inet drill {
    chain in {
        type filter hook input priority 0; policy accept;
        ct state established accept
    }
}
NFT
}

tracked_are() { (($("${in_ns[@]}" cat /proc/sys/net/netfilter/nf_conntrack_count) >= $1)); } # COUNT

tracking() {
    local in_ns=(ip netns exec "$NS_A") few roomy other
    few="limit=net.netfilter.nf_conntrack_max end=client,target confidence=confirmed value=600"
    one_namespace
    track
    a_target tracked.target "${in_ns[@]}" -- --model mio
    climb_with_few_entries tracked
    # shellcheck disable=SC2086 # keys are words
    expect tracked $few observed=590..600 after=serving,silent
    climb tracked_raised 1500 "${in_ns[@]}" -- "${AT[@]}"
    expect_none tracked_raised 1500
    end_target

    # Where nothing is tracked the bound does not matter.
    ip netns add "$NS_B"
    in_b ip link set lo up
    in_ns=(ip netns exec "$NS_B")
    a_target untracked.target "${in_ns[@]}" -- --model mio
    roomy=("${AT[@]}")
    climb_with_few_entries untracked
    expect_none untracked 1500
    # What others have tracked is in the way, too.
    track
    a_target others.target "${in_ns[@]}" -- --model mio
    bg others "${in_ns[@]}" timeout --kill-after=3 60 "$BRINK" load "${AT[@]}" --no-preflight -c 250 --workload hold -d 50s \
        --format json
    other=$LAST_PID
    wait_for 20 "250 tracked connections of others" tracked_are 250
    AT=("${roomy[@]}")
    climb_with_few_entries tracked_with_others
    # shellcheck disable=SC2086
    expect tracked_with_others $few observed=340..350 after=serving,silent
    # But not once nothing is tracked any more: then their entries are left over.
    in_b nft flush ruleset
    climb_with_few_entries left_over
    expect_none left_over 1500
    tracked_are 250 || fail "the entries of others were not left over"
    end "$other"
}

files
tracking
rows_done
