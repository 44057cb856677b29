#!/usr/bin/env bash
# The queue of connections that wait to be accepted, before a server that accepts slowly: bounded by the kernel, or by the
# server's own backlog.
# shellcheck source-path=SCRIPTDIR source=limits_lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/limits_lib.sh"
need root netns python3 "$PYTHON"
one_namespace
in_ns=(ip netns exec "$NS_A")
slow=("$drills_dir/odd_server.py" --accept-per-s 100)

# Of the namespace, and gone with it.
in_a sh -c 'echo 16 >/proc/sys/net/core/somaxconn' || fail "prerequisite missing: net.core.somaxconn cannot be set in a namespace"
a_stranger kernel "${in_ns[@]}" -- "${slow[@]}" --backlog 4096
climb somaxconn 2000 "${in_ns[@]}" -- "${AT[@]}"
expect somaxconn limit=net.core.somaxconn end=target confidence=confirmed,likely value=16 predicted=no
end_target

# Raised, and the same server takes the same connections, in its own time.
in_a sh -c 'echo 4096 >/proc/sys/net/core/somaxconn'
a_stranger own "${in_ns[@]}" -- "${slow[@]}" --backlog 8
climb backlog 2000 "${in_ns[@]}" -- "${AT[@]}"
expect backlog limit=target.backlog end=target confidence=confirmed,likely value=8 predicted=no
end_target
a_stranger long "${in_ns[@]}" -- "${slow[@]}" --backlog 4096
climb backlog_raised 100 "${in_ns[@]}" -- "${AT[@]}"
expect_none backlog_raised 100
end_target

# It takes them slowly, but no queue is full: neither of the two may be named.
a_stranger busy "${in_ns[@]}" -- "${slow[@]}" --backlog 4096
climb slow_only 400 "${in_ns[@]}" -- "${AT[@]}"
expect_none slow_only 400
end_target
rows_done
