#!/usr/bin/env bash
# A machine that hides parts of /proc: figures are missing, each with its reason, and nothing breaks.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need root python3 unshare mount
mkdir empty
unshare --mount --propagation private true || fail "prerequisite missing: the right to make mount namespaces"

# The mounts are of a namespace of their own and go with the process. exec keeps the pid, so that
# /proc/$$/net is what the program sees as /proc/self/net.
cat >hide.sh <<'SH'
set -eu
empty=$1; shift
hidden=
for path in $HIDE; do
    path=$(echo "$path" | sed "s/SELF/$$/")
    if [ -d "$path" ]; then from=$empty; else from=/dev/null; fi
    if mount --bind "$from" "$path" 2>/dev/null; then hidden="$hidden $path"; fi
done
[ -n "$hidden" ] || { echo "nothing could be hidden" >&2; exit 99; }
echo "hidden:$hidden" >&2
exec "$@"
SH
hiding() { # NAME PATHS PROGRAM ...
    local name=$1 paths=$2
    shift 2
    run 20 "$name" env HIDE="$paths" unshare --mount --propagation private sh hide.sh "$PWD/empty" "$@"
    grep '^hidden:' "$name.err" || fail "prerequisite missing: bind mounts over $paths: $(tail -n 1 "$name.err")"
}
load=("$BRINK" load -c 100 --delay 50ms --warmup 200ms -d 1s --format json)
reasons='" ".join(r["validity"]["reasons"])'

hiding sys /proc/sys "${load[@]}"
expect_rc sys 0 5
check_clean sys.out 100
check_json sys.out 'all(l["value"] is not None or l["note"] for l in r["facts"]["client"]["limits"] + r["facts"]["target"]["limits"])' \
    'a limit without value has a note'
check_json sys.out 'any(l["name"] == "net.ipv4.ip_local_port_range" and l["value"] is None and l["note"]
    for l in r["facts"]["client"]["limits"])'

hiding meminfo /proc/meminfo "${load[@]}"
expect_rc meminfo 0 5
check_clean meminfo.out 100
check_json meminfo.out 'all(s["kernel_bytes"] is None and s["slab_bytes"] is None for s in r["usage"]["machine"])'
check_json meminfo.out "r['memory_per_connection']['target']['kernel_bytes'] is None and 'kernel' in $reasons"
check_json meminfo.out 'r["memory_per_connection"]["target"]["user_bytes"] is not None' 'what can be read still is'

hiding net /proc/SELF/net "${load[@]}"
expect_rc net 0 5
check_clean net.out 100

hiding stat "/proc/stat /proc/cpuinfo /proc/loadavg /proc/version /proc/sys/kernel" "${load[@]}"
expect_rc stat 0 5
check_clean stat.out 100

# Its own status, too: a client that cannot see its memory.
hiding own "/proc/SELF/status /proc/SELF/stat /proc/SELF/limits /proc/SELF/fd" "${load[@]}"
expect_rc own 0 5
check_json own.out "r['connections']['opened'] == 100 and r['failures'] == []"
check_json own.out 'all(s["user_bytes"] is None for s in r["usage"]["client"])'
check_json own.out "r['memory_per_connection']['client']['user_bytes'] is None and 'client' in $reasons"

# All of /proc: a target cannot be started, but one that runs can be loaded.
bg_target target "$BRINK" target --model mio --listen 127.0.0.1:0
hiding all /proc "$BRINK" load --target "$ADDRESS" --control "$CONTROL" -c 100 --delay 50ms --warmup 200ms -d 1s --format json
expect_rc all 0 5
check_json all.out "r['connections']['opened'] == 100 and r['failures'] == [] and r['validity']['verdict'] != 'failed'"
hiding none /proc "${load[@]}"
expect_rc none 1
expect_line none '^brink: '
