#!/usr/bin/env bash
# Memory per connection by brink against programs that read /proc by themselves: within 5%, at 10,000 connections.
#
# Each server is looked at three times: by brink, in the same run by a reader that knows nothing of brink (the server itself, or a
# watcher from outside), and in another run, with connections that a Python client opens, where brink has no part.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need python3 cc prlimit
connections=${SLOPES_CONNECTIONS:-10000}
plateaus=$drills_dir/plateaus.py
wrong=

run 60 build cc -O2 -Wall -Wextra -pthread -o threads_echo "$drills_dir/threads_echo.c"
expect_rc build 0

json_of() { sed -n "1s/.*\"$2\": *\"*\([^\",}]*\).*/\1/p" "$1.out"; }

# Ends a server that prints its own slopes.
end_and_keep() { # NAME PID
    kill -TERM "$2"
    reap 10 "$2"
    expect_rc "$1" 0
    grep -q plateaus "$1.out" || fail "$1: says nothing of its plateaus"
}

load() { # NAME FLAG ...
    run 90 "$1" "$BRINK" load "${@:2}" -c "$connections" --workload hold -d 300ms --warmup 100ms --timeout 30s -q --format json
    expect_rc "$1" 0 5
    check_clean "$1.out" "$connections"
    check_json "$1.out" 'len(r["memory_per_connection"]["plateaus"]) >= 5'
}

agree() { # NAME RESULT HOW=FILE ...
    python3 "$plateaus" agree "$@" || wrong="$wrong $1"
}

# A server that measures itself.
of_itself() { # NAME COMMAND ...
    local name=$1 pid
    shift
    bg_target "$name" "$@"
    pid=$(json_of "$name" pid)
    load "load_$name" --target "$ADDRESS" --pid "$pid"
    end_and_keep "$name" "$pid"

    bg_target "${name}_alone" "$@"
    pid=$(json_of "${name}_alone" pid)
    run 60 "drive_$name" python3 "$plateaus" drive "$ADDRESS" "$pid" "$connections"
    expect_rc "drive_$name" 0
    end_and_keep "${name}_alone" "$pid"
    agree "$name" "load_$name.out" "itself=$name.out" "alone, itself=${name}_alone.out" "alone, from outside=drive_$name.out"
}

# A target of brink, which is watched from outside.
of_brink() { # MODEL FLAG ...
    local model=$1 pid watcher
    bg_target "$model" "$BRINK" target --model "$@" --listen 127.0.0.1:0
    pid=$(json_of "$model" pid)
    bg "watch_$model" python3 "$plateaus" watch "$pid"
    watcher=$LAST_PID
    wait_for 10 "the watcher" grep -q watching "watch_$model.out"
    load "load_$model" --target "$ADDRESS" --control "$CONTROL"
    kill -TERM "$watcher" 2>/dev/null || true
    reap 10 "$watcher"
    expect_rc "watch_$model" 0
    end "$pid"

    bg_target "${model}_alone" "$BRINK" target --model "$@" --listen 127.0.0.1:0
    pid=$(json_of "${model}_alone" pid)
    run 60 "drive_$model" python3 "$plateaus" drive "$ADDRESS" "$pid" "$connections"
    expect_rc "drive_$model" 0
    end "$pid"
    agree "$model" "load_$model.out" "watched=watch_$model.out" "alone=drive_$model.out"
}

of_itself threads_64k ./threads_echo 65536

# The judge would see it: a reading that is 6% off does not agree, one that is 4% off does.
for percent in 104 106; do
    python3 -c 'import json, sys
r = json.loads(open(sys.argv[1]).read().split("\n")[1])
r["user_bytes"] *= int(sys.argv[2]) / 100
print(json.dumps(r))' threads_64k.out $percent >"off_$percent.out"
done
python3 "$plateaus" agree judge load_threads_64k.out off=off_104.out >judged || fail "the judge refuses 4%: $(cat judged)"
if python3 "$plateaus" agree judge load_threads_64k.out off=off_106.out >judged; then fail "the judge takes 6%: $(cat judged)"; fi

of_itself threads_8m ./threads_echo 8388608
of_itself tasks python3 "$drills_dir/tasks_echo.py"
of_brink threads
of_brink tokio
[[ -z $wrong ]] || fail "slopes do not agree:$wrong"
