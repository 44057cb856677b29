#!/usr/bin/env bash
# brink beside its peers, all in one run and in turn (A B A B ..), so that a machine whose speed drifts treats all alike: the client on
# one CPU, the server on another. What is asked of brink stands beside what was measured; nothing is compared with figures of another
# run. Peers that are not on the PATH (or named by WRK=, H2LOAD=, HEY=, OHA=, REWRK=, TCPKALI=, SOCKPERF=, NGINX=) are said to be missing.
#
# usage: scripts/bench-peers.sh [--only http,echo,open,memory,rss,roundtrip] [--rounds N] [--seconds S] [-o DIR] ...  (--help: all)
#        needs python3, cc, taskset, two CPUs, and a machine that does nothing else
set -euo pipefail
cd "$(dirname "$0")/.."
ulimit -n "$(ulimit -Hn)"
export BRINK=${BRINK:-target/release/brink} PYTHONDONTWRITEBYTECODE=1
exec python3 scripts/peers/bench.py "$@"
