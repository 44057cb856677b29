#!/usr/bin/env bash
# Source ports, in a network namespace with a range of 1,000: with one source, two, some of them reserved, half of them
# in TIME_WAIT. What other sockets of the drill have there is counted, not assumed.
# shellcheck source-path=SCRIPTDIR source=limits_lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/limits_lib.sh"
need root netns python3 ss
one_namespace
in_ns=(ip netns exec "$NS_A")
set_ns() { # NAME VALUE ...: a sysctl of the namespace, which goes with it
    local name=$1
    shift
    in_a sh -c "echo $* >/proc/sys/${name//.//}" || fail "prerequisite missing: $name cannot be set in a namespace"
}
set_ns net.ipv4.ip_local_port_range 40000 40999
# Otherwise the kernel takes ports out of TIME_WAIT again on loopback.
set_ns net.ipv4.tcp_tw_reuse 0

# Its own ports are outside of the range.
bg_target target "${in_ns[@]}" "$BRINK" target --model mio --listen 127.0.0.1:7000
AT=(--target 127.0.0.1:7000)
ports="limit=net.ipv4.ip_local_port_range end=client confidence=confirmed errno=EADDRNOTAVAIL"

# shellcheck disable=SC2086 # keys are words
one_source() {
    climb one_source 1500 "${in_ns[@]}" -- "${AT[@]}" --source-ip 127.0.0.1
    expect one_source $ports value=1000 observed=990..1000
    climb two_sources 2500 "${in_ns[@]}" -- "${AT[@]}" --source-ip 127.0.0.1 --source-ip 127.0.0.9
    expect two_sources $ports observed=1990..2000
    # The negative control: a third address.
    climb three_sources 2500 "${in_ns[@]}" -- "${AT[@]}" --source-ip 127.0.0.1 --source-ip 127.0.0.9 --source-ip 127.0.0.10
    expect_none three_sources 2500
    climb own_sources 2500 "${in_ns[@]}" -- "${AT[@]}"
    expect_none own_sources 2500
}

# shellcheck disable=SC2086
reserved() {
    set_ns net.ipv4.ip_local_reserved_ports 40100-40399
    # What is left of the rows before holds ports of the range, too.
    local held
    held=$(in_a ss -Htan 'sport >= :40000 and sport <= :40999' | wc -l)
    climb reserved 1500 "${in_ns[@]}" -- "${AT[@]}" --source-ip 127.0.0.1
    expect reserved $ports value=700 "observed=$((690 - held))..700"
    set_ns net.ipv4.ip_local_reserved_ports '""'
    climb not_reserved 900 "${in_ns[@]}" -- "${AT[@]}" --source-ip 127.0.0.1
    expect_none not_reserved 900
}

# Ports of SOURCE towards the target in TIME_WAIT.
waiting() { # SOURCE
    in_a ss -Htan state time-wait src "$1" dst 127.0.0.1:7000 | wc -l
}

# The end that closes first has the TIME_WAIT: 500 connections from here, to the very address and port. From an address
# that nothing came from before.
# shellcheck disable=SC2086
time_wait() {
    local count source=127.0.0.30
    run 20 closer "${in_ns[@]}" "$PYTHON" "$drills_dir/closer.py" "$source" 127.0.0.1:7000 500
    expect_rc closer 0
    count=$(waiting "$source")
    ((count == 500)) || fail "$count ports are in TIME_WAIT instead of 500"
    climb time_wait 1500 "${in_ns[@]}" -- "${AT[@]}" --source-ip "$source"
    count=$(waiting "$source")
    ((count >= 500 && count <= 510)) || fail "$count ports were in TIME_WAIT after the climb instead of 500 and a few"
    expect time_wait $ports value=1000 observed=490..500 evidence=TIME_WAIT
    # Another address has none in TIME_WAIT.
    climb other_source 900 "${in_ns[@]}" -- "${AT[@]}" --source-ip 127.0.0.31
    expect_none other_source 900
}

one_source
reserved
time_wait
rows_done
