#!/usr/bin/env bash
# Limits of the whole machine, lowered for seconds and put back: open files, which do not bind root, and entries of
# connection tracking.
# shellcheck source-path=SCRIPTDIR source=limits_lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/limits_lib.sh"
need root netns python3 setpriv nft
# shellcheck disable=SC2207 # words
user=($(as_lonely_user))

files_in_use() { awk '{ print $1 - $2 }' /proc/sys/fs/file-nr; }

# Climbs while the machine has room for 3,000 files more. Others open and close files meanwhile: a climb during which
# they did so counts for nothing, and is made again.
climb_with_few_files() { # NAME [PREFIX ...] -- [FLAG ...]
    local name=$1 before off n
    shift
    for ((n = 0; n < 4; n++)); do
        before=$(files_in_use)
        set_machine fs.file-max $((before + 3000))
        climb "$name" 3000 "$@"
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
    expect files_target limit=fs.file-max end=target confidence=confirmed,likely observed=1400..1510 errno=ENFILE
    climb files_target_raised 1600 -- "${AT[@]}"
    expect_none files_target_raised 1600
    end_target
    a_target roomy -- --model mio
    climb_with_few_files files_client "${user[@]}" -- "${AT[@]}"
    expect files_client limit=fs.file-max end=client confidence=confirmed,likely observed=1400..1510 errno=ENFILE
    climb files_client_raised 1600 "${user[@]}" -- "${AT[@]}"
    expect_none files_client_raised 1600
    end_target
}

# In a namespace that tracks connections. The bound is one for the machine, the count is the namespace's.
tracking() {
    local in_ns=(ip netns exec "$NS_A") tracked=/proc/sys/net/netfilter/nf_conntrack_count
    one_namespace
    in_a nft -f - <<'NFT' || fail "prerequisite missing: nftables with connection tracking"
table inet drill {
    chain in {
        type filter hook input priority 0; policy accept;
        ct state established accept
    }
}
NFT
    a_target tracked.target "${in_ns[@]}" -- --model mio
    set_machine net.netfilter.nf_conntrack_max 600
    climb tracked 1500 "${in_ns[@]}" -- "${AT[@]}"
    give_back_machine
    expect tracked limit=net.netfilter.nf_conntrack_max end=client,target confidence=confirmed value=600 observed=550..600
    in_a cat $tracked
    climb tracked_raised 1500 "${in_ns[@]}" -- "${AT[@]}"
    expect_none tracked_raised 1500
    end_target
    # Where nothing is tracked the bound does not matter.
    ip netns add "$NS_B"
    in_b ip link set lo up
    a_target untracked.target ip netns exec "$NS_B" -- --model mio
    set_machine net.netfilter.nf_conntrack_max 600
    climb untracked 1500 ip netns exec "$NS_B" -- "${AT[@]}"
    give_back_machine
    expect_none untracked 1500
    end_target
}

files
tracking
rows_done
