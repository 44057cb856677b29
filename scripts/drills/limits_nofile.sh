#!/usr/bin/env bash
# Descriptors: of the client, of the target, of both, and of a server that is not brink's.
# shellcheck source-path=SCRIPTDIR source=limits_lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/limits_lib.sh"
need python3 prlimit "$PYTHON"
few=(prlimit --nofile=500:500)

# The client's, with each kind of engine.
a_target roomy -- --model mio
for engine in mio tokio threads pool; do
    flags=(--engine "$engine")
    # Threads that take turns with the connections: a few carry them all.
    if [[ $engine == pool ]]; then flags+=(--threads 8); fi
    climb "client_$engine" 1000 "${few[@]}" -- "${AT[@]}" "${flags[@]}"
    expect "client_$engine" limit=rlimit.nofile end=client confidence=confirmed value=500 observed=450..500 errno=EMFILE
done
climb client_raised 600 -- "${AT[@]}"
expect_none client_raised 600
end_target

# The target's, with each kind of model.
for model in mio tokio threads pool hyper; do
    # shellcheck disable=SC2046 # flags are words
    a_target "few_$model" "${few[@]}" -- --model "$model" $(model_flags "$model")
    check_limit "$TARGET_PID" "Max open files" 500
    climb "target_$model" 1000 -- "${AT[@]}"
    expect "target_$model" limit=rlimit.nofile end=target confidence=confirmed value=500 observed=450..500 errno=EMFILE
    end_target
done

# Both: the tighter one of them.
a_target both_few prlimit --nofile=400:400 -- --model tokio
climb both_target 1000 "${few[@]}" -- "${AT[@]}"
expect both_target limit=rlimit.nofile end=target confidence=confirmed value=400 observed=350..400
end_target
a_target both_more prlimit --nofile=600:600 -- --model tokio
climb both_client 1000 "${few[@]}" -- "${AT[@]}"
expect both_client limit=rlimit.nofile end=client confidence=confirmed value=500 observed=450..500
# The target inherits what its parent has.
climb both_started 1000 "${few[@]}" -- --model mio
expect both_started limit=rlimit.nofile end=client,target confidence=confirmed value=500 observed=450..500
end_target

# Not brink's, which says nothing of its errno: what its process has open tells. The first two keep
# a spare descriptor to refuse with; the others neither accept nor refuse, and connections wait in their queues.
for script in "$DRILL_ROOT/scripts/targets/py_asyncio.py" "$DRILL_ROOT/scripts/targets/py_threading.py" \
    "$drills_dir/odd_server.py" "$drills_dir/echo.py"; do
    name=stranger_$(basename "$script" .py)
    a_stranger "$name.server" "${few[@]}" -- "$script"
    PATIENCE=1s climb "$name" 1000 -- "${AT[@]}"
    expect "$name" limit=rlimit.nofile end=target confidence=confirmed,likely value=500 observed=450..500
    end_target
done
a_stranger roomy_stranger -- "$drills_dir/odd_server.py"
climb stranger_raised 600 -- "${AT[@]}"
expect_none stranger_raised 600
rows_done
