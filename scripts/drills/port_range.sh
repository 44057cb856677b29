#!/usr/bin/env bash
# Source ports: one address has as many as net.ipv4.ip_local_port_range; loopback has more addresses.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need root netns python3
one_namespace
# Of the namespace; it goes with it.
ip netns exec "$NS_A" sh -c 'echo 40000 40999 >/proc/sys/net/ipv4/ip_local_port_range' \
    || fail "prerequisite missing: net.ipv4.ip_local_port_range cannot be set in a namespace"

# Outside of the range, so that it takes nothing from it.
bg_target target ip netns exec "$NS_A" "$BRINK" target --model mio --listen 127.0.0.1:7000
load=(ip netns exec "$NS_A" "$BRINK" load --target 127.0.0.1:7000 -c 2000 --workload hold --warmup 200ms -d 1s
    --timeout 3s --format json)

run 10 refused "${load[@]}" --source-ip 127.0.0.1
expect_rc refused 4
expect_line refused 'net\.ipv4\.ip_local_port_range = 1,000.*carries [0-9,]+ of 2,000 connections.*to lift it'
check_json refused.out 'r["connections"]["not_attempted"] == 2000
    and r["predicted"]["limit"] == "net.ipv4.ip_local_port_range"'

in_use=$(in_a ss -Htan 2>/dev/null | awk '{ n = split($4, at, ":"); if (at[n] >= 40000 && at[n] <= 40999) ports[at[n]] } END { print length(ports) }')
run 25 bound "${load[@]}" --source-ip 127.0.0.1 --no-preflight
expect_rc bound 1
check_sums bound.out
check_json bound.out "1000 - $in_use - 3 <= r['connections']['opened'] <= 1000 and r['connections']['closed_early'] == 0"
# Connections that were under way when the first one found no port are not open yet: hence 900.
check_json bound.out 'r["failure_point"]["limit"] == "net.ipv4.ip_local_port_range"
    and r["failure_point"]["limit_value"] == 1000 and r["failure_point"]["end"] == "client"
    and r["failure_point"]["confidence"] in ("confirmed", "likely") and r["failure_point"]["fix"]
    and r["failure_point"]["at_connections"] >= 900'

run 20 three "${load[@]}" --source-ip 127.0.0.1 --source-ip 127.0.0.9 --source-ip 127.0.0.10
expect_rc three 0 5
check_clean three.out 2000

# Without being told: more addresses of 127/8, as many as are needed.
run 20 more "${load[@]}"
expect_rc more 0 5
check_clean more.out 2000

# A target that brink starts takes ports out of the range itself.
run 20 own ip netns exec "$NS_A" "$BRINK" load -c 2000 --workload hold --warmup 200ms -d 1s --timeout 3s --format json
expect_rc own 0 5
check_clean own.out 2000
