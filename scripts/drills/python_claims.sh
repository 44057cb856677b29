#!/usr/bin/env bash
# The Python programs of the claims: what they say is possible, what fails they tell, and they end when told to.
# How fast they are is not asked here, only that nothing is faster than its arithmetic.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need python3
claims=$DRILL_ROOT/scripts/claims

of() { # NAME PROGRAM FLAG ...
    run 40 "$1" python3 "$claims/$2.py" "${@:3}"
}

# Its last line is one JSON object, with which Python it was.
said() { # NAME EXPRESSION
    expect_rc "$1" 0
    tail -n 1 "$1.out" >"$1.json"
    check_json "$1.json" "'skipped' in r or r['python'].startswith('3.') and r['gil'] and r['implementation']" "$1: which Python"
    check_json "$1.json" "'skipped' in r or ($2)"
}

# Fails with one line on stderr that names the program.
fails() { # NAME CODE PATTERN
    expect_rc "$1" "$2"
    expect_line "$1" "^[a-z]*\\.py: .*$3"
    [[ $(wc -l <"$1.err") == 1 ]] || fail "$1: more than one line: $(tail -n 3 "$1.err")"
}

of facts facts
said facts 'all(r[name] is None or r[name][0].isdigit() for name in ("requests", "aiohttp"))'

# ---- fetches -----------------------------------------------------------------------------------

bg_target http "$BRINK" target --model hyper --listen 127.0.0.1:0
url=http://$ADDRESS

# The least that 20 waits of 20 ms take.
declare -A least_ms=(
    [sequential]=400 [threads]=20 [pool]=80 [asyncio]=20 [requests-sequential]=400 [requests-threads]=20 [aiohttp]=20
)
for way in "${!least_ms[@]}"; do
    of "fetch_$way" fetch --way "$way" --url "$url/delay/0.02" -n 20 --workers 5
    said "fetch_$way" "r['requests'] == 20 and r['failed'] == 0 and r['makespan_ns'] >= ${least_ms[$way]}e6
        and 20e6 <= r['p50_ns'] <= r['p99_ns'] <= r['makespan_ns'] and r['import_ns'] > 0"
    of "echo_$way" fetch --way "$way" --url "$url/echo" --payload 300000 -n 10
    said "echo_$way" "r['requests'] == 10 and r['failed'] == 0"
    if grep -q skipped "fetch_$way.json"; then
        [[ $way == requests-* || $way == aiohttp ]] || fail "$way is skipped"
        continue
    fi
    of "none_$way" fetch --way "$way" --url "$url/nowhere" -n 3
    fails "none_$way" 1 '3 of 3 .*status 404'
    of "slow_$way" fetch --way "$way" --url "$url/delay/20" -n 2 --timeout 200ms
    fails "slow_$way" 1 '2 of 2'
done

# A server that answers otherwise than it should.
cat >wrong.py <<'PY'
import http.server, json
class Wrong(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.reply(bytes(len(body)), len(body))
    def do_GET(self):
        self.reply(b"half", 8)
    def reply(self, body, length):
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Wrong)
print(json.dumps({"address": "127.0.0.1:%d" % server.server_address[1]}), flush=True)
server.serve_forever()
PY
bg_target wrong python3 wrong.py
for way in sequential asyncio requests-sequential aiohttp; do
    if grep -q skipped "fetch_$way.json"; then continue; fi
    of "wrong_$way" fetch --way "$way" --url "http://$ADDRESS/echo" --payload 100 -n 2
    fails "wrong_$way" 1 '2 of 2 .*not what was sent'
    of "half_$way" fetch --way "$way" --url "http://$ADDRESS/" -n 2
    fails "half_$way" 1 '2 of 2'
done
end "$LAST_PID"
of refused fetch --way threads --url "http://$ADDRESS/" -n 5
fails refused 1 '5 of 5 .*refused'

# ---- sleepers and work -------------------------------------------------------------------------

declare -A least_ms=([threads]=20 [pool]=200 [asyncio]=20)
# Address space: a stack for each thread; a few hundred tasks fit into what is mapped already.
for way in "${!least_ms[@]}"; do
    of "sleep_$way" sleepers --way "$way" -n 50 --workers 5 --delay 20ms
    said "sleep_$way" "r['sleepers'] == 50 and r['makespan_ns'] >= ${least_ms[$way]}e6"
    of "hold_$way" sleepers --way "$way" -n 500 --workers 500 --hold 0
    said "hold_$way" "r['plateaus'] == 10 and 100 < r['user_bytes_per_sleeper'] < 100e3 and r['user_bytes'] > 1e6
        and r['virtual_bytes_per_sleeper'] >= $([[ $way == asyncio ]] && echo 0 || echo 65536) and 'page_table_bytes_per_sleeper' in r"
done
# shellcheck disable=SC2016 # the inner shell's own argument
run 20 no_threads bash -c 'ulimit -v 2000000; exec python3 "$1" --way threads -n 2000 --hold 0' _ "$claims/sleepers.py"
fails no_threads 1 'not all of 2000 sleepers'

for way in sequential threads processes; do
    of "work_$way" work --way "$way" --workers 2 -n 4 --job-ms 5 --rounds 3
    said "work_$way" "r['makespan_ns'] > 0 and r['sequential_ns'] > 0 and r['speedup_min'] <= r['speedup'] <= r['speedup_max']
        and r['speedup'] < 1.5 * min(2, r['cpus'])"
done

# ---- ends --------------------------------------------------------------------------------------

bad() { # PROGRAM FLAG ...
    of bad "$@"
    fails bad 2 .
    [[ ! -s bad.out ]] || fail "$*: says something on stdout"
}
bad fetch --way pool
bad fetch --way fast --url "$url/"
bad fetch --way pool --url "ftp://127.0.0.1/"
bad fetch --way pool --url "$url/" -n 0
bad fetch --way pool --url "$url/" --payload 2000000
bad fetch --way pool --url "$url/" --timeout 5
bad sleepers --way asyncio --delay 5
bad sleepers --way asyncio -n 3 --hold 0
bad sleepers --way threads --stack-size 1
bad work --way processes --job-ms 0
bad work --nonsense
bad facts more

# At once, whatever is under way, and with all that it started.
stops() { # SIGNAL CODE PROGRAM FLAG ...
    local children child
    bg "stop_$3" python3 "$claims/$3.py" "${@:4}"
    sleep 1
    alive "$LAST_PID" || fail "$3: ended by itself: $(tail -n 1 "stop_$3.err")"
    children=$(descendants "$LAST_PID")
    kill "-$1" "$LAST_PID"
    reap 3 "$LAST_PID"
    ((RC == $2)) || fail "$3: SIG$1 ended it with $RC instead of $2"
    for child in $children; do wait_for 3 "the end of child $child of $3" gone "$child"; done
}
for way in sequential threads pool asyncio; do stops TERM 143 fetch --way "$way" --url "$url/delay/30"; done
for way in threads pool asyncio; do
    stops INT 130 sleepers --way "$way" --delay 30s
    stops TERM 143 sleepers --way "$way" --hold 30s
done
for signal in TERM:143 INT:130 KILL:137; do
    stops "${signal%:*}" "${signal#*:}" work --way processes --job-ms 4000
done
stops TERM 143 work --way threads --job-ms 4000
