#!/usr/bin/env bash
# Servers that know nothing of brink: nginx over HTTP, redis over fixed bytes. The distribution's packages.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# Where the packages put servers, which is not in everybody's PATH.
PATH=$PATH:/usr/sbin:/sbin
need python3 nginx redis-server

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
accepts() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# As many of 5,000 as the descriptors allow. nginx closes idle connections when fewer than a sixteenth of its
# worker_connections are free (ngx_drain_connections in src/core/ngx_connection.c), so it gets an eighth more.
hard=$(ulimit -Hn)
many=5000
if [[ $hard != unlimited ]] && ((hard < many * 9 / 8 + 300)); then many=$(((hard - 300) * 8 / 9)); fi
((many >= 1000)) || fail "prerequisite missing: 1,500 descriptors (ulimit -Hn is $hard)"

# ---- nginx -------------------------------------------------------------------------------------

http=$(free_port)
mkdir www
echo 'a small page' >www/index.html
python3 -c 'print(("x" * 63 + "\n") * 3200, end="")' >www/large.txt # 200 KiB
# A page with a server-side include has no length beforehand, so it goes out in chunks.
# It is a standard module, but a build can leave it out.
ssi='ssi on;'
if [[ $(nginx -V 2>&1) == *--without-http_ssi_module* ]]; then ssi=; fi
for n in {1..500}; do echo "<!--#echo var=\"request_uri\" --> and some text, line $n"; done >www/chunked.html
{
    # Only root may change to another user, and that one could not read the drill's folder.
    if ((EUID == 0)); then echo 'user root;'; fi
    cat <<NGINX
daemon off;
worker_processes 1;
pid $DRILL_WORK/nginx.pid;
error_log $DRILL_WORK/nginx.log;
worker_rlimit_nofile $((many * 9 / 8 + 200));
events { worker_connections $((many * 9 / 8 + 100)); }
http {
    access_log off;
    types { text/html html; text/plain txt; }
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    # keepalive_requests stays at its default of 1,000: nginx then says Connection: close.
    server {
        listen 127.0.0.1:$http;
        root $DRILL_WORK/www;
        location = /chunked.html { $ssi }
    }
}
NGINX
} >nginx.conf
bg nginx nginx -p "$DRILL_WORK" -c "$DRILL_WORK/nginx.conf" -e "$DRILL_WORK/nginx.log"
nginx_pid=$LAST_PID
wait_for 10 "nginx on port $http ($(tail -n 1 nginx.log 2>/dev/null))" accepts "$http"

run 20 page "$BRINK" load "http://127.0.0.1:$http/" --pid "$nginx_pid" -c 100 -d 2s --warmup 200ms --format json
expect_rc page 0 5
check_clean page.out 100
check_json page.out 'r["requests"]["per_s"] > 0 and r["requests"]["completed"] > 2000 and r["requests"]["non_2xx"] == 0
    and r["latency_ns"]["count"] > 0 and 0 < r["latency_ns"]["p50"] <= r["latency_ns"]["p99"] <= r["latency_ns"]["max"]'
check_json page.out 'r["delay_error_ns"] is None and r["target_counters"] is None' 'nginx is no brink target'
check_json page.out 'r["memory_per_connection"]["target"]["user_bytes"] is not None
    and all(s["threads"] >= 2 and s["fds"] > 0 for s in r["usage"]["target"])' 'the memory of nginx and its worker'
check_json page.out 'r["case"]["load"]["protocol"]["kind"] == "http" and r["case"]["load"]["protocol"]["path"] == "/"'

# nginx closes each connection after 1,000 requests, and says so: it is opened again, and nothing has failed.
run 20 closing "$BRINK" load "http://127.0.0.1:$http/" -c 2 -d 2s --warmup 200ms --format json
expect_rc closing 0 5
check_clean closing.out 2
check_json closing.out 'r["requests"]["completed"] < 2000 or r["connections"]["reopened"] > 0' 'keepalive_requests'
show_json closing.out '"%d requests, reopened %d times" % (r["requests"]["completed"], r["connections"]["reopened"])'

run 20 large "$BRINK" load "http://127.0.0.1:$http/large.txt" -c 100 -d 2s --warmup 200ms --format json
expect_rc large 0 5
check_clean large.out 100
check_json large.out 'r["requests"]["completed"] > 200 and r["latency_ns"]["p50"] > 0'

if [[ -n $ssi ]]; then
    in_chunks='import sys, urllib.request as u; sys.exit(u.urlopen(sys.argv[1]).headers["Transfer-Encoding"] != "chunked")'
    python3 -c "$in_chunks" "http://127.0.0.1:$http/chunked.html" || fail "nginx does not answer in chunks"
    run 20 chunked "$BRINK" load "http://127.0.0.1:$http/chunked.html" -c 50 -d 1s --warmup 200ms --format json
    expect_rc chunked 0 5
    check_clean chunked.out 50
    check_json chunked.out 'r["requests"]["completed"] > 100'
else
    echo "    skipped: this nginx cannot answer in chunks"
fi

# Not found: answered, and counted apart, and failed all the same.
run 20 missing "$BRINK" load "http://127.0.0.1:$http/missing" -c 20 -d 1s --warmup 200ms --format json
expect_rc missing 1
check_sums missing.out
check_json missing.out 'r["requests"]["completed"] == 0 and r["requests"]["failed"] > 0
    and r["requests"]["non_2xx"] == r["requests"]["failed"] and r["validity"]["verdict"] == "failed"' 'a page that is not there'

run 40 hold "$BRINK" load "http://127.0.0.1:$http/" -c "$many" --workload hold --heartbeat 1s -d 3s --format json
expect_rc hold 0 5
check_clean hold.out "$many"
check_json hold.out "r['requests']['completed'] >= 2 * $many and r['connections']['reopened'] == 0"

# Nothing listens there.
run 10 nobody "$BRINK" load "http://127.0.0.1:$(free_port)/" -c 10 -d 1s
expect_rc nobody 1
expect_line nobody '^brink: .*nothing listens'

# ---- redis -------------------------------------------------------------------------------------

redis=(redis-server --bind 127.0.0.1 --save "" --appendonly no --daemonize no --dir "$DRILL_WORK")
port=$(free_port)
bg redis "${redis[@]}" --port "$port"
redis_pid=$LAST_PID
wait_for 10 "redis on port $port ($(tail -n 1 redis.out 2>/dev/null))" accepts "$port"

run 20 ping "$BRINK" load "tcp://127.0.0.1:$port" --send 'PING\r\n' --expect '+PONG\r\n' -c 100 -d 2s \
    --warmup 200ms --format json
expect_rc ping 0 5
check_clean ping.out 100
check_json ping.out 'r["requests"]["per_s"] > 0 and r["requests"]["completed"] > 2000 and r["latency_ns"]["p50"] > 0
    and r["case"]["load"]["protocol"]["kind"] == "bytes"'

# It never says that: no run, one line.
run 10 wrong "$BRINK" load "tcp://127.0.0.1:$port" --send 'PING\r\n' --expect '+PENG\r\n' -c 100 -d 1s --format json
expect_rc wrong 1
expect_line wrong '^brink: .*expected'

# It says something else from the middle of the run on: failures of a kind of their own.
tell() { printf '%s\r\n' "$1" >&3 && read -r -t 5 -u 3; }
exec 3<>"/dev/tcp/127.0.0.1/$port"
tell 'SET key a'
# shellcheck disable=SC2016 # redis writes lengths as $1
bg changing timeout --kill-after=3 25 "$BRINK" load "tcp://127.0.0.1:$port" \
    --send 'GET key\r\n' --expect '$1\r\na\r\n' -c 50 --think 20ms --warmup 200ms -d 3s --format json
wait_for 10 "the window" grep -q window changing.err
tell 'SET key b'
exec 3>&-
reap 15 "$LAST_PID"
expect_rc changing 1
check_sums changing.out
check_json changing.out 'r["requests"]["failed"] > 0 and r["requests"]["non_2xx"] == 0
    and any(f["phase"] == "request" and f["errno"] == "mismatch" and f["count"] > 0 for f in r["failures"])'

# ---- as targets of a sweep ---------------------------------------------------------------------

# Started by brink, or running already and sampled by its pid: memory, threads, descriptors and CPU of both are seen.
seen='all(len(t["usage"]["target"]) > 2
    and all(s[k] is not None and s[k] > 0 for s in t["usage"]["target"] for k in ("threads", "fds", "user_bytes"))
    and all(s["cpu_s"] is not None for s in t["usage"]["target"])
    and t["memory_per_connection"]["target"]["user_bytes"] is not None and t["connections"]["opened"] == 1000
    and t["requests"]["failed"] == 0 and t["requests"]["per_s"] > 0 and t["latency_ns"]["p50"] > 0
    and max(s["fds"] for s in t["usage"]["target"]) >= 1000 for t in r["results"])'

costs='["%s: %.0f B/connection" % (t["case"]["target"]["label"],
    t["memory_per_connection"]["target"]["user_bytes"]["slope"]) for t in r["results"]]'

cat >redis.toml <<TOML
name = "redis"
repeats = 1

[[target]]
label = "started"
command = "redis-server --port {port} --bind 127.0.0.1 --save '' --appendonly no --dir '$DRILL_WORK'"

[[target]]
label = "running"
address = "127.0.0.1:$port"
pid = $redis_pid

[load]
connections = 1000
send = 'PING\r\n'
expect = '+PONG\r\n'
think = "100ms"
warmup = "300ms"
duration = "1s"
TOML
run 60 redis_sweep "$BRINK" sweep redis.toml --out redis_out --format json
expect_rc redis_sweep 0 5
check_json redis_sweep.out 'sorted(t["case"]["target"]["label"] for t in r["results"]) == ["running", "started"]'
check_json redis_sweep.out "$seen" 'both redis'
show_json redis_sweep.out "$costs"
alive "$redis_pid" || fail "the sweep ended a redis that it did not start"
check_json redis_sweep.out 'all("command" in t["case"]["target"]["origin"]
    for t in r["results"] if t["case"]["target"]["label"] == "started")' 'the origin of the started redis'

# With its children: nginx serves in a process that its parent forked.
cat >nginx.toml <<TOML
name = "nginx"
repeats = 1

[[target]]
label = "running"
address = "http://127.0.0.1:$http/"
pid = $nginx_pid

[load]
connections = 1000
think = "100ms"
warmup = "300ms"
duration = "1s"
TOML
run 40 nginx_sweep "$BRINK" sweep nginx.toml --out nginx_out --format json
expect_rc nginx_sweep 0 5
check_json nginx_sweep.out "$seen" 'nginx and its worker'
show_json nginx_sweep.out "$costs"
check_json nginx_sweep.out 'all(s["threads"] >= 2 for t in r["results"] for s in t["usage"]["target"])'
alive "$nginx_pid" || fail "the sweep ended an nginx that it did not start"
