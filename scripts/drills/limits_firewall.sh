#!/usr/bin/env bash
# Rules of a packet filter that act from the 501st connection on. One that drops cannot be seen from either end, so
# nothing may be named; one that refuses can.
# shellcheck source-path=SCRIPTDIR source=limits_lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/limits_lib.sh"
need root netns python3 nft
one_namespace
in_ns=(ip netns exec "$NS_A")

# Lets 500 connections to PORT be open at once, by a set of that size: the next ones meet VERDICT. Connection tracking,
# which would be a limit of its own, has no part in it.
rule() { # PORT CHAIN VERDICT
    in_a nft -f - <<NFT || fail "prerequisite missing: nftables with dynamic sets and reject"
flush ruleset
table inet drill {
    set open { type inet_service; size 500; flags dynamic,timeout; timeout 1h; gc-interval 10ms; }
    chain drill {
        type filter hook $2 priority 0; policy accept;
        tcp dport $1 tcp flags & (fin|rst) != 0 delete @open { tcp sport }
        tcp dport $1 tcp flags & (syn|ack) == syn add @open { tcp sport } accept
        tcp dport $1 tcp flags & (syn|ack) == syn $3
    }
}
NFT
}

filtered() { # NAME CHAIN VERDICT KEY=VALUE ...
    local name=$1 chain=$2 verdict=$3
    shift 3
    a_target "$name.target" "${in_ns[@]}" -- --model mio
    rule "${ADDRESS##*:}" "$chain" "$verdict"
    PATIENCE=1s climb "$name" 1500 "${in_ns[@]}" -- "${AT[@]}"
    expect "$name" predicted=no observed=480..500 "$@"
    in_a nft flush ruleset
    climb "${name}_gone" 1500 "${in_ns[@]}" -- "${AT[@]}"
    expect_none "${name}_gone" 1500
    end_target
}

filtered drop input drop limit=unknown end=client,target confidence=unknown errno=timeout
filtered drop_output output drop limit=unknown end=client,target confidence=unknown
filtered reject_reset input 'reject with tcp reset' limit=firewall,unknown end=client,target confidence=likely,unknown
filtered reject_icmp input 'reject with icmpx type port-unreachable' limit=firewall end=client,target confidence=likely \
    errno=ECONNREFUSED
filtered reject_admin input 'reject with icmpx type admin-prohibited' limit=firewall end=client,target confidence=likely
rows_done
