#!/usr/bin/env bash
# Runs the commands of README.md, in order, in a copy of what they need, with the program that BRINK names.
#
#   scripts/readme-check.sh          the same as scripts/drills.sh readme
#
# A block of commands is fenced as ```sh. What stands before it, in a comment of its own line, says how it is run:
#   (nothing)                     by bash -e; what it leaves in the background is ended when the block is over
#   <!-- check: skip REASON -->   not at all; it must still parse
#   <!-- check: two-hosts -->     lines after `# on host A` on 192.0.2.1 in the background, those after
#                                 `# on host B` on 192.0.2.2, two network namespaces joined by a cable
# `cargo run --release --` becomes `brink`: the program is built already.
if [[ -z ${DRILL_WORK:-} ]]; then exec "$(dirname "${BASH_SOURCE[0]}")/drills.sh" readme; fi
# shellcheck source-path=SCRIPTDIR source=drills/lib.sh
. "$DRILL_ROOT/scripts/drills/lib.sh"
need python3 prlimit
block_seconds=150

readme=$DRILL_ROOT/README.md
[[ -s $readme ]] || fail "there is no README.md"
mkdir tree blocks bin
cp -r "$DRILL_ROOT/configs" "$DRILL_ROOT/scripts" "$DRILL_ROOT/results" "$readme" tree/

# Code 5 says that the machine was too busy or the load too much for the client to believe the figures: true of
# the machine, not of the README. It is noted. All other codes go through.
cat >bin/brink <<'SH'
#!/bin/bash
case ${1:-} in load | sweep) ;; *) exec "$REAL_BRINK" "$@" ;; esac
code=0
"$REAL_BRINK" "$@" || code=$?
if [[ $code == 5 ]]; then
    echo "code 5: brink $*" >>"$NOTED"
    exit 0
fi
exit "$code"
SH
chmod 755 bin/brink
export REAL_BRINK=$BRINK NOTED=$PWD/noted PATH=$PWD/bin:$PATH

# One file per block: how it is run in the first line, where it begins in the second.
awk -v folder=blocks '
    /^```/ && inside { inside = 0; close(file); marker = ""; next }
    /^```sh[ \t]*$/ {
        inside = 1
        file = sprintf("%s/%02d.sh", folder, ++count)
        printf "# run: %s\n# line %d\n", (marker == "" ? "here" : marker), NR > file
        next
    }
    /^```/ { other = !other; marker = ""; next }
    inside { gsub(/cargo run --release --( |$)/, "brink "); print > file; next }
    other { next }
    /^<!-- check: .* -->[ \t]*$/ { marker = $0; sub(/^<!-- check: /, "", marker); sub(/ -->[ \t]*$/, "", marker); next }
    /[^ \t]/ { marker = "" }
' "$readme"
blocks=(blocks/*.sh)
[[ -e ${blocks[0]} ]] || fail "README.md has no block of commands fenced as sh"

tell() { # NAME: the end of what a block said, for the log
    tail -n 12 "$1.out" | sed "s/^/    $1: /"
    tail -n 6 "$1.err" | sed "s/^/    $1: /"
}

# Ends a process and all below it, the lowest first.
end_all() { # PID
    local below pid
    mapfile -t below < <(descendants "$1")
    for pid in "${below[@]}" "$1"; do end "$pid"; done
}

# Runs a block to its end, and says how that was in RC.
in_background=$PWD/in_background
go() { # NAME WHERE PROGRAM ...
    local name=$1 where=$2 end_at
    shift 2
    bg "$name" "$@"
    end_at=$((SECONDS + block_seconds))
    while alive "$LAST_PID"; do
        if ((SECONDS > end_at)); then
            end_all "$LAST_PID"
            tell "$name"
            fail "README.md $where: did not end within $block_seconds s"
        fi
        sleep 0.05
    done
    RC=0
    wait "$LAST_PID" || RC=$?
    if ((RC != 0)); then
        tell "$name"
        fail "README.md $where: ended with $RC: $(tail -n 1 "$name.err" | cut -c 1-200)"
    fi
}

here() { # NAME FILE WHERE
    local pid
    : >"$in_background"
    # The trap tells who is still there when the block is over.
    { echo "trap 'jobs -p >$in_background' EXIT" && cat "$2"; } >"$1.run"
    go "$1" "$3" env --chdir=tree bash -e "$PWD/$1.run"
    while read -r pid; do end_all "$pid"; done <"$in_background"
}

two_hosts() { # NAME FILE WHERE
    local host_a
    need root netns
    two_namespaces
    for host in A B; do
        awk -v want="$host" '/^# on host / { on = $4 } on == want' "$2" >"$1.$host"
        [[ -s $1.$host ]] || fail "README.md $3: nothing after \`# on host $host\`"
    done
    bg "$1_a" ip netns exec "$NS_A" env --chdir=tree bash -e "$PWD/$1.A"
    host_a=$LAST_PID
    wait_for 10 "README.md $3: a word from host A: $(cat "$1_a.err")" test -s "$1_a.out"
    go "$1_b" "$3" ip netns exec "$NS_B" env --chdir=tree bash -e "$PWD/$1.B"
    alive "$host_a" || fail "README.md $3: what runs on host A ended: $(tail -n 1 "$1_a.err")"
    end_all "$host_a"
    ip netns del "$NS_A"
    ip netns del "$NS_B"
}

ran=0
for block in "${blocks[@]}"; do
    name=block_$(basename "$block" .sh)
    how=$(sed -n '1s/^# run: //p' "$block")
    where=$(sed -n '2s/^# //p' "$block")
    bash -n "$block" 2>"$name.parse" || fail "README.md $where: does not parse: $(head -n 1 "$name.parse")"
    began=$SECONDS
    case $how in
        here) here "$name" "$block" "$where" ;;
        two-hosts) two_hosts "$name" "$block" "$where" ;;
        "skip "?*) echo "    README.md $where: skipped: ${how#skip }" && continue ;;
        *) fail "README.md $where: unknown \`check: $how\` (skip REASON, two-hosts)" ;;
    esac
    ran=$((ran + 1))
    echo "    README.md $where: $((SECONDS - began)) s"
done
((ran > 0)) || fail "no block of README.md was run"
if [[ -s $NOTED ]]; then sed 's/^/    /' "$NOTED"; fi
