#!/usr/bin/env bash
# Not a drill: what limits_put_back.sh kills. It changes one thing of each kind, says so in VICTIM_READY, and waits.
# shellcheck source-path=SCRIPTDIR source=limits_lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/limits_lib.sh"
one_namespace
make_group pids outer
make_group pids outer/inner
bg sleeper "${into[@]}" "$GROUP" sleep 300
a_target target ip netns exec "$NS_A" -- --model mio
# A little lower than it is: nobody feels it.
set_machine net.netfilter.nf_conntrack_max $(($(<"$(sysctl_file net.netfilter.nf_conntrack_max)") - 8))
echo "$$ $GROUP $NS_A $TARGET_PID" >"$VICTIM_READY.new"
mv "$VICTIM_READY.new" "$VICTIM_READY"
# Waited for, so that it is in nobody's list of pids.
sleep 300
