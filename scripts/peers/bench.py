"""brink beside its peers: see scripts/bench-peers.sh."""
import argparse
import json
import os
import platform
import re
import signal
import sys
import tempfile
import time

import table
from runs import (CLIENT_CPU, Client, Failed, Nginx, Server, build, counts_instructions, cpu_s, cpu_s_by_thread, descriptors, find,
                  first_line, free_port, instructions, rss_anon_bytes, system_calls, version, wait_for)
from table import Row

SECTIONS = ("http", "echo", "open", "memory", "rss", "roundtrip")
HTTP_PEERS = ("wrk", "h2load", "oha", "rewrk", "hey")
PEERS = (*HTTP_PEERS, "tcpkali", "sockperf", "nginx")
PAYLOAD_BYTES, HEADER_BYTES = 64, 40
BRINK_CODES = (0, 5)  # 5: a verdict such as `unsteady`; the figures are there all the same
SPARE_S = 60  # what a client may take beyond what it was told
SPREAD_OVER = 4  # source addresses of the C loop that opens without ever searching for a port
MEMORY_COUNTS = (1000, 10000)
SOME_SYSTEM_CALLS = 6


def flags():
    parser = argparse.ArgumentParser(prog="bench-peers.sh", description="brink beside its peers, in turn, in one run")
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, by comma (default: all)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5, help="length of each window")
    parser.add_argument("--rss-seconds", type=int, default=10, help="length of the runs whose peak memory is read")
    parser.add_argument("--connections", default="64,1000,10000", help="of http and echo")
    parser.add_argument("--open", type=int, default=19000, help="connections that `open` opens")
    parser.add_argument("--peers", default=",".join(PEERS), help="peers to use, by comma (default: all that are there)")
    parser.add_argument("-o", "--out", help="folder for peers.json and peers.md")
    given = parser.parse_args()
    given.only = given.only.split(",")
    given.peers = given.peers.split(",")
    given.connections = [int(count) for count in given.connections.split(",")]
    unknown = [f"section `{name}`" for name in given.only if name not in SECTIONS]
    unknown += [f"peer `{name}`" for name in given.peers if name not in PEERS]
    if unknown or given.rounds < 1 or not 1 <= given.seconds <= 600:
        parser.error(f"there is no {' and no '.join(unknown)}" if unknown else "--rounds and --seconds are at least 1")
    return given


class Bench:
    """What all sections share: programs, runs so far, notes."""

    def __init__(self, options, work):
        self.options, self.work = options, work
        self.brink = os.path.abspath(os.environ["BRINK"])
        if not os.access(self.brink, os.X_OK):
            raise SystemExit(f"bench-peers: {self.brink} is not there: cargo build --release, or BRINK=")
        self.programs = {name: find(name) for name in PEERS if name in options.peers}
        self.missing = [name for name, program in self.programs.items() if not program]
        self.left_out = [name for name in PEERS if name not in options.peers]
        self.runs, self.rows, self.notes = [], [], []
        self.no_instructions = counts_instructions()
        build(work, ("measured", "echo_client", "echo_server"))

    def c(self, name, *arguments):
        return [os.path.join(self.work, name), *map(str, arguments)]

    def has(self, name):
        return bool(self.programs.get(name))

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)

    def keep(self, section, name, connections, round_, take):
        """Takes one figure; what fails is a run, too."""
        run = {"section": section, "name": name, "connections": connections, "round": round_, "load_average": os.getloadavg()[0]}
        try:
            run.update(take())
        except Failed as failed:
            run["failed"] = str(failed)
            self.note(f"{section}, {name} at {connections:,}: {failed}")
        self.runs.append(run)
        what = run.get("failed") or ", ".join(f"{key} {table.figure(value)}" for key, value in run.items() if key in SHOWN and value)
        print(f"[{time.strftime('%H:%M:%S')}] {section} {name} {connections:,} round {round_}: {what}", file=sys.stderr, flush=True)
        return run

    def values(self, section, name, connections, key):
        """One for each round; None where it failed."""
        found = {run["round"]: run.get(key) for run in self.runs
                 if (run["section"], run["name"], run["connections"]) == (section, name, connections)}
        return [found.get(n) for n in range(1, self.options.rounds + 1)]

    def ratios(self, section, connections, key, above, below):
        """`above` over `below`, of the two runs of each round."""
        pairs = zip(self.values(section, above, connections, key), self.values(section, below, connections, key))
        return [a / b if a is not None and b else None for a, b in pairs]

    def row(self, *arguments, **asked):
        self.rows.append(Row(*arguments, **asked))

    def rounds(self):
        return range(1, self.options.rounds + 1)


SHOWN = ("cpu_s_per_million", "per_s", "connects_per_s", "user_bytes", "rss_anon_bytes", "peak_rss_mb", "p50_us", "p99_us", "mean_us")


# ---- brink ---------------------------------------------------------------------------------------


def brink_load(bench, connections, seconds, *more):
    """Without a warm-up, as peers have none, unless one is asked for."""
    warmup = () if "--warmup" in more else ("--warmup", "0s")
    return [bench.brink, "load", *more, *warmup, "-c", str(connections), "-d", f"{seconds}s", "-t", "1", "--cpus", str(CLIENT_CPU),
            "--no-preflight", "-q", "--format", "json"]


def brink_result(client):
    try:
        return json.loads(client.out())
    except ValueError as error:
        raise Failed(f"no result: {client.err().strip()[-300:]}") from error


def brink_window(result):
    """CPU-seconds and requests between the samples that lie in the window, and how long that was."""
    marks = {mark["name"]: mark["t_s"] for mark in result["usage"]["phases"]}
    seen = [s for s in result["usage"]["client"] if marks["window"] <= s["t_s"] <= marks["drain"]]
    if len(seen) < 2 or seen[-1]["requests"] <= seen[0]["requests"]:
        raise Failed("no two samples in the window")
    return (seen[-1]["cpu_s"] - seen[0]["cpu_s"], seen[-1]["requests"] - seen[0]["requests"], seen[-1]["t_s"] - seen[0]["t_s"])


def helpers_share(before, after):
    """What part of its CPU time went to threads other than those that make requests; None for who names no thread so."""
    spent = {name: after[name] - before.get(name, 0) for name in after}
    requesting = sum(value for name, value in spent.items() if name.startswith("brink-client"))
    return 1 - requesting / sum(spent.values()) if requesting > 0 else None


def brink_faults(result):
    failed = result["requests"]["failed"] + result["requests"]["non_2xx"] + result["connections"]["failed"]
    return {"verdict": result["validity"]["verdict"], "failed_requests": failed, "brink_version": result["facts"]["brink_version"]}


def target(bench, model, *more):
    return Server(bench.work, [bench.brink, "target", "--model", model, "--threads", "1", "--cpus", "1", "--listen", "127.0.0.1:0",
                               *more])


def at(server):
    """How brink is told of an echo server: its own target, or any other."""
    if "control" in server.told:
        return ("--target", server.address, "--control", server.told["control"])
    return (f"tcp://{server.address}",)


def echo_server(bench, name):
    return target(bench, "mio") if name == "mio" else Server(bench.work, bench.c("echo_server"))


# ---- http ----------------------------------------------------------------------------------------


def http_command(bench, name, url, connections, seconds):
    program = bench.programs.get(name)
    return {
        "brink": lambda: brink_load(bench, connections, seconds, url),
        "wrk": lambda: [program, "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", url],
        "h2load": lambda: [program, "--h1", "-t1", f"-c{connections}", "-D", str(seconds), url],
        "oha": lambda: [program, "--no-tui", "-c", str(connections), "-z", f"{seconds}s", url],
        "rewrk": lambda: [program, "-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--json", "-h", url],
        "hey": lambda: [program, "-cpus", "1", "-c", str(connections), "-z", f"{seconds}s", url],
    }[name]()


def said_requests(name, client):
    """How many it says were answered, in all."""
    if name == "brink":
        result = brink_result(client)
        # Each connection proves itself by a request while it opens.
        return result["requests"]["completed"] + result["connections"]["opened"]
    patterns = {"wrk": r"(\d+) requests in", "h2load": r"(\d+) succeeded", "rewrk": r'"requests_total":(\d+)'}
    found = re.search(patterns.get(name, r"\[200\]\s+(\d+)"), client.out())
    if not found:
        raise Failed(f"does not say how many requests it made: {(client.err() + client.out()).strip()[-300:]}")
    return int(found[1])


def said_failures(client):
    found = re.search(r"Socket errors: .*|Non-2xx.*|\b[1-9]\d* failed, .*|Error distribution:(?:.|\n)*", client.out())
    return " ".join(found[0].split())[:200] if found else None


def http_window(server, client, connections, lead, seconds):
    """What the client used and the server took, between two looks, once all connections are there."""
    pid = client.pid()
    open_, until = 0, time.monotonic() + lead
    while open_ < connections and time.monotonic() < until and client.runs():
        time.sleep(0.02)
        open_ = server.status()[0]
    time.sleep(0.5)
    before, used_before, begun, threads_before = server.status()[1], cpu_s(pid), time.monotonic(), cpu_s_by_thread(pid)
    time.sleep(seconds)
    open_, after = server.status()
    used, ended, memory, threads = cpu_s(pid), time.monotonic(), rss_anon_bytes(pid), cpu_s_by_thread(pid)
    requests = after - before
    if requests <= 0:
        raise Failed("no request was answered in the window")
    user, system = used[0] - used_before[0], used[1] - used_before[1]
    return {"cpu_s_per_million": (user + system) / requests * 1e6, "user_s_per_million": user / requests * 1e6,
            "sys_s_per_million": system / requests * 1e6, "user_share": user / (user + system) if user + system else None,
            "per_s": requests / (ended - begun), "requests": requests, "window_s": ended - begun, "open_at_end": open_,
            "rss_anon_bytes": memory, "helpers_share": helpers_share(threads_before, threads)}


def http_run(bench, name, connections, seconds):
    lead = 2 if connections <= 1000 else 5
    with Nginx(bench.work, bench.programs["nginx"]) as server:
        with Client(bench.work, http_command(bench, name, server.url, connections, seconds + lead + 1)) as client:
            try:
                run = http_window(server, client, connections, lead, seconds)
            except Failed:
                client.said_why()
                raise
            used = client.finish(lead + SPARE_S, BRINK_CODES if name == "brink" else (0,))
            said = said_requests(name, client)
            run.update(process=used, said_requests=said, served_requests=server.status()[1], said_failures=said_failures(client),
                       whole_cpu_s_per_million=(used["cpu_user_s"] + used["cpu_sys_s"]) / said * 1e6)
            if name == "brink":
                result = brink_result(client)
                run.update(brink_faults(result))
                cpu, requests, _ = brink_window(result)
                run["own_cpu_s_per_million"] = cpu / requests * 1e6
    if run["open_at_end"] < connections:
        bench.note(f"http, {name} at {connections:,}: nginx had only {run['open_at_end']:,} of its connections")
    if abs(said - run["served_requests"]) > 0.05 * said + connections:
        bench.note(f"http, {name} at {connections:,}: it says {said:,} requests, nginx took {run['served_requests']:,}")
    if run["said_failures"]:
        bench.note(f"http, {name} at {connections:,}: {run['said_failures']}")
    return run


def http_costs(bench, name, connections):
    """System calls and instructions of a request, in short runs of their own, connecting included."""
    def calls():
        with Nginx(bench.work, bench.programs["nginx"]) as server:
            made, out = system_calls(bench.work, http_command(bench, name, server.url, connections, 3), 3 + SPARE_S, BRINK_CODES)
        return per_request(made, said_requests(name, Said(out)))

    def instructions_run():
        with Nginx(bench.work, bench.programs["nginx"]) as server:
            counted, out = instructions(bench.work, http_command(bench, name, server.url, connections, 3), 3 + SPARE_S, BRINK_CODES)
        return {"instructions_per_request": counted / said_requests(name, Said(out))}

    costs = []
    if find("strace"):
        costs.append(("strace", calls))
    if not bench.no_instructions:
        costs.append(("instructions", instructions_run))
    for what, take in costs:
        bench.keep("http", f"{name}, {what}", connections, 1, take)


class Said:
    """What a client printed, where it ran under another program."""

    def __init__(self, out):
        self.text = out

    def out(self):
        return self.text

    def err(self):
        return ""


def per_request(made, requests):
    most = sorted(made, key=made.get, reverse=True)[:SOME_SYSTEM_CALLS]
    return {"calls_per_request": sum(made.values()) / requests, "requests": requests,
            "most": {name: round(made[name] / requests, 4) for name in most}}


def http(bench):
    if not bench.has("nginx"):
        bench.note("http: nginx is missing, nothing was measured")
        return
    names = ["brink", *(name for name in HTTP_PEERS if bench.has(name))]
    counts = bench.options.connections
    for round_ in bench.rounds():
        for connections in counts:
            for name in names:
                bench.keep("http", name, connections, round_, lambda: http_run(bench, name, connections, bench.options.seconds))
    for connections in (count for count in counts if count <= 1000):
        for name in ("brink", "wrk"):
            if name in names:
                http_costs(bench, name, connections)
    for connections in counts:
        http_rows(bench, names, connections)


def http_rows(bench, names, connections):
    of = lambda name, key: bench.values("http", name, connections, key)
    if bench.has("wrk"):
        least = 1.15 if connections <= 1000 else 1.2
        for key, how in (("cpu_s_per_million", "window"), ("whole_cpu_s_per_million", "whole process")):
            bench.row("http", f"{connections:,}: wrk / brink, CPU, {how}", "ratio",
                      bench.ratios("http", connections, key, "wrk", "brink"), least=least if how == "window" else None)
    for name in names:
        bench.row("http", f"{connections:,}: {name}, window", "CPU s/million", of(name, "cpu_s_per_million"))
        bench.row("http", f"{connections:,}: {name}, user alone", "CPU s/million", of(name, "user_s_per_million"))
        bench.row("http", f"{connections:,}: {name}, system alone", "CPU s/million", of(name, "sys_s_per_million"))
        bench.row("http", f"{connections:,}: {name}, whole process", "CPU s/million", of(name, "whole_cpu_s_per_million"))
        bench.row("http", f"{connections:,}: {name}", "requests/s", of(name, "per_s"))
    bench.row("http", f"{connections:,}: brink, of its CPU: threads that send nothing", "share", of("brink", "helpers_share"))
    for name in ("brink", "wrk"):
        if name in names and connections <= 1000:
            bench.row("http", f"{connections:,}: {name}, under strace", "system calls/request",
                      of(f"{name}, strace", "calls_per_request")[:1], note=None if find("strace") else "no strace")
            bench.row("http", f"{connections:,}: {name}, in user space", "instructions/request",
                      of(f"{name}, instructions", "instructions_per_request")[:1], note=bench.no_instructions and "not available")


# ---- echo ----------------------------------------------------------------------------------------


def echo_command(bench, name, server, connections, seconds):
    if name == "C":
        return bench.c("echo_client", "echo", "127.0.0.1", server.port, connections, seconds, PAYLOAD_BYTES, 1)
    return brink_load(bench, connections, seconds, *at(server), "--warmup", "1s", "--payload", f"{PAYLOAD_BYTES}B")


def helpers(client, all_open, seconds):
    """Within the window, roughly."""
    pid = client.pid()
    wait_for("connections", SPARE_S, lambda: all_open() or not client.runs())
    time.sleep(1)
    before = cpu_s_by_thread(pid)
    time.sleep(max(seconds - 0.5, 0.5))
    return helpers_share(before, cpu_s_by_thread(pid))


def echo_run(bench, name, server_name, connections, seconds):
    with echo_server(bench, server_name) as server:
        base = descriptors(server.pid)
        with Client(bench.work, echo_command(bench, name, server, connections, seconds)) as client:
            share = helpers(client, lambda: descriptors(server.pid) - base >= connections, seconds) if name == "brink" else None
            used = client.finish(seconds + SPARE_S, BRINK_CODES)
            if name == "C":
                own = json.loads(client.out())
                return {"process": used, **own, "per_s": own["messages"] / own["seconds"],
                        "mean_us": own["seconds"] * connections / own["messages"] * 1e6}
            result = brink_result(client)
            cpu, messages, window_s = brink_window(result)
            return {"process": used, **brink_faults(result), "cpu_s_per_million": cpu / messages * 1e6, "messages": messages,
                    "seconds": window_s, "per_s": messages / window_s, "helpers_share": share}


def echo_calls(bench, name, server_name, connections):
    with echo_server(bench, server_name) as server:
        made, out = system_calls(bench.work, echo_command(bench, name, server, connections, 2), 2 + SPARE_S, BRINK_CODES)
    # Of the whole run, which either's own count of messages leaves something out of.
    if name == "C":
        return per_request(made, made["write"])
    own = json.loads(out)
    return per_request(made, own["usage"]["client"][-1]["requests"] + own["connections"]["opened"])


def echo(bench):
    counts = bench.options.connections
    for round_ in bench.rounds():
        for connections in counts:
            for server in ("mio", "C server"):
                for name in ("C", "brink"):
                    bench.keep("echo", f"{name} to {server}", connections, round_,
                               lambda: echo_run(bench, name, server, connections, bench.options.seconds))
    for connections in (count for count in counts if count <= 1000 and find("strace")):
        for name in ("C", "brink"):
            bench.keep("echo", f"{name}, strace", connections, 1, lambda: echo_calls(bench, name, "mio", connections))
    for connections in counts:
        echo_rows(bench, connections)
    if bench.has("tcpkali"):
        bench.note("echo: tcpkali is not compared, since it does not wait for a reply before it sends the next message")


def echo_rows(bench, connections):
    for server in ("mio", "C server"):
        of = lambda name, key: bench.values("echo", f"{name} to {server}", connections, key)
        bench.row("echo", f"{connections:,}: brink / C loop, CPU, to {server}", "ratio",
                  bench.ratios("echo", connections, "cpu_s_per_million", f"brink to {server}", f"C to {server}"), most=1.05)
        for name in ("brink", "C"):
            bench.row("echo", f"{connections:,}: {name} to {server}", "CPU s/million", of(name, "cpu_s_per_million"))
            bench.row("echo", f"{connections:,}: {name} to {server}", "messages/s", of(name, "per_s"))
        bench.row("echo", f"{connections:,}: brink to {server}, of its CPU: threads that send nothing", "share",
                  of("brink", "helpers_share"))
    if connections <= 1000:
        for name in ("brink", "C"):
            bench.row("echo", f"{connections:,}: {name}, under strace", "system calls/message",
                      bench.values("echo", f"{name}, strace", connections, "calls_per_request")[:1],
                      note=None if find("strace") else "no strace")


# ---- open ----------------------------------------------------------------------------------------


def seen_opening(client, server, connections, seconds):
    """Connections/s as the server's descriptors show them, pauses included; None where they do not."""
    base = descriptors(server.pid)
    until, first = time.monotonic() + seconds, None
    while client.runs() and time.monotonic() < until:
        time.sleep(0.002)
        now = descriptors(server.pid) - base
        if first is None and now > 0:
            first = time.monotonic()
        if now >= connections:
            return connections / (time.monotonic() - first)
    return None


def open_run(bench, name, server_name, connections):
    with echo_server(bench, server_name) as server:
        c = lambda sources: bench.c("echo_client", "open", "127.0.0.1", server.port, connections, 1, PAYLOAD_BYTES, sources)
        hold = lambda *more: brink_load(bench, connections, 1, *at(server), "--workload", "hold", *more)
        command = {"C, spread": lambda: c(SPREAD_OVER), "C, one pair": lambda: c(1), "brink": hold,
                   "brink, one source": lambda: hold("--source-ip", "127.0.0.1")}[name]()
        with Client(bench.work, command) as client:
            seen = seen_opening(client, server, connections, SPARE_S)
            used = client.finish(SPARE_S, BRINK_CODES)
            if name.startswith("C"):
                return {"process": used, **json.loads(client.out()), "seen_per_s": seen}
            result = brink_result(client)
            opened = result["connections"]["opened"]
            if opened < connections:
                raise Failed(f"{opened:,} of {connections:,} opened: {result['failure_point']}"[:300])
            return {"process": used, **brink_faults(result), "connects_per_s": result["connections"]["connect_per_s"],
                    "seen_per_s": seen}


def open_peer(bench, name, connections):
    with Nginx(bench.work, bench.programs["nginx"]) if name == "h2load" else echo_server(bench, "C server") as server:
        program, many = bench.programs[name], str(connections)
        command = ([program, "--h1", "-t1", "-c", many, "-D", "5", server.url] if name == "h2load"
                   else [program, "-c", many, "--connect-rate", "1000000", "-T", "5s", server.address])
        with Client(bench.work, command) as client:
            seen = seen_opening(client, server, connections, 5)
            used = client.finish(5 + SPARE_S)
            if seen is None:
                raise Failed(f"its {connections:,} connections were never seen open at once")
            return {"process": used, "connects_per_s": seen}


def in_use(bench, share, range_):
    """Half of what is opened then lies before that share of the ports, half behind it."""
    return int((range_[1] - range_[0] + 1) * share) - bench.options.open // 20


def open_ports(bench, round_):
    """How fast it opens while 10% and 90% of the ports of one pair are in use, which other programs hold."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        range_ = [int(word) for word in file.read().split()]
    count, held, holders = bench.options.open // 10, 0, []
    with target(bench, "mio", "--processes", "2") as server:
        descriptors_of = lambda: sum(descriptors(pid) for pid in server.told["workers"])
        base = descriptors_of()
        hold = lambda: brink_load(bench, count, 1, *at(server), "--workload", "hold", "--source-ip", "127.0.0.1")
        c = lambda many, seconds: bench.c("echo_client", "open", "127.0.0.1", server.port, many, seconds, PAYLOAD_BYTES, 1)
        try:
            for share in (0.1, 0.5, 0.9):
                while held < in_use(bench, share, range_):
                    more = min(in_use(bench, share, range_) - held, 12000)
                    holders.append(Client(bench.work, c(more, 600)))
                    held += more
                    wait_for(f"holding {held:,}", 120, lambda: descriptors_of() - base >= held or not holders[-1].runs())
                    if not holders[-1].runs():
                        raise Failed(f"holding {held:,}: {holders[-1].err().strip()[-300:]}")
                for name, command in (("brink", hold()), ("C", c(count, 0))):
                    bench.keep("open", f"{name} at {share:.0%} of the ports", count, round_,
                               lambda: open_at_share(bench, command, name))
        finally:
            for holder in holders:
                holder.end()
    return {"held": held}


def open_at_share(bench, command, name):
    with Client(bench.work, command) as client:
        used = client.finish(SPARE_S, BRINK_CODES)
        if name == "C":
            return {"process": used, **json.loads(client.out())}
        result = brink_result(client)
        return {"process": used, **brink_faults(result), "connects_per_s": result["connections"]["connect_per_s"]}


def opening(bench):
    connections, peers = bench.options.open, 10000
    names = ("C, spread", "brink", "C, one pair", "brink, one source")
    able = [name for name in ("h2load", "tcpkali") if bench.has(name) and (name != "h2load" or bench.has("nginx"))]
    for round_ in bench.rounds():
        for server in ("C server", "mio"):
            for name in names:
                bench.keep("open", f"{name} to {server}", connections, round_, lambda: open_run(bench, name, server, connections))
        for name in able:
            bench.keep("open", name, peers, round_, lambda: open_peer(bench, name, peers))
        bench.keep("open", "ports in use", 0, round_, lambda: open_ports(bench, round_))
    for server in ("C server", "mio"):
        for name in names[1::2]:
            bench.row("open", f"{connections:,}: {name} / C, spread, to {server}", "ratio",
                      bench.ratios("open", connections, "connects_per_s", f"{name} to {server}", f"C, spread to {server}"), least=0.95)
        for name in names:
            bench.row("open", f"{connections:,}: {name}, to {server}", "connects/s",
                      bench.values("open", f"{name} to {server}", connections, "connects_per_s"))
    for name in able:
        bench.row("open", f"{peers:,}: {name}, seen at the server", "connects/s", bench.values("open", name, peers, "connects_per_s"))
    port_rows(bench, connections // 10)


def port_rows(bench, count):
    of = lambda name, share: bench.values("open", f"{name} at {share}% of the ports", count, "connects_per_s")
    for name in ("brink", "C"):
        pairs = [late / early if late and early else None for late, early in zip(of(name, 90), of(name, 10))]
        bench.row("open", f"{name}, one pair: at 90% / at 10% of the ports", "ratio", pairs, least=0.5 if name == "brink" else None)
        for share in (10, 50, 90):
            bench.row("open", f"{name}, one pair: at {share}% of the ports", "connects/s", of(name, share))


# ---- memory --------------------------------------------------------------------------------------


def slope_run(bench, model, connections):
    """By brink's own account, of both ends."""
    with target(bench, model) as server:
        with Client(bench.work, brink_load(bench, connections, 2, *at(server), "--workload", "hold")) as client:
            used = client.finish(SPARE_S, BRINK_CODES)
            result = brink_result(client)
    ends = {}
    for end in ("client", "target"):
        slope = result["memory_per_connection"][end]["user_bytes"]
        ends[f"{end}_user_bytes"], ends[f"{end}_ci95"] = (slope["slope"], slope["ci95"]) if slope else (None, None)
    return {"process": used, **brink_faults(result), **ends}


def idle_run(bench, name, connections):
    """Read from outside, a second and a half after all are open: the client, and the target."""
    model = name.rpartition(" ")[2]
    with target(bench, model) as server:
        base = descriptors(server.pid)
        command = (bench.c("echo_client", "open", "127.0.0.1", server.port, connections, 3, PAYLOAD_BYTES, 0) if name.startswith("C")
                   else brink_load(bench, connections, 3, *at(server), "--workload", "hold"))
        with Client(bench.work, command) as client:
            pid = client.pid()
            wait_for(f"{connections:,} connections", 30, lambda: descriptors(server.pid) - base >= connections or not client.runs())
            time.sleep(1.5)
            seen = {"rss_anon_bytes": rss_anon_bytes(pid), "target_rss_anon_bytes": rss_anon_bytes(server.pid)}
            return {"process": client.finish(SPARE_S, BRINK_CODES), **seen}


def memory(bench):
    low, high = MEMORY_COUNTS
    names = ["brink", *(name for name in HTTP_PEERS if bench.has(name))] if bench.has("nginx") else []
    idle = ("C to mio", "brink to mio", "brink to tokio")
    for round_ in bench.rounds():
        for model in ("mio", "tokio"):
            bench.keep("memory", f"own, {model}", high, round_, lambda: slope_run(bench, model, high))
        for connections in MEMORY_COUNTS:
            for name in idle:
                bench.keep("memory", f"idle, {name}", connections, round_, lambda: idle_run(bench, name, connections))
            for name in names:
                bench.keep("memory", f"http, {name}", connections, round_, lambda: http_run(bench, name, connections, 2))

    def outside(name, key="rss_anon_bytes"):
        pairs = zip(bench.values("memory", name, low, key), bench.values("memory", name, high, key))
        return [(b - a) / (high - low) if a is not None and b is not None else None for a, b in pairs]

    own = lambda model, end: bench.values("memory", f"own, {model}", high, f"{end}_user_bytes")
    bench.row("memory", "brink, client, idle, by its own account", "B/connection", own("mio", "client"), most=64)
    bench.row("memory", "brink, client, idle, from outside", "B/connection", outside("idle, brink to mio"), most=64)
    for model, most in (("mio", 64), ("tokio", 1024)):
        bench.row("memory", f"brink, target {model}, by its own account", "B/connection", own(model, "target"), most=most)
        bench.row("memory", f"brink, target {model}, from outside", "B/connection",
                  outside(f"idle, brink to {model}", "target_rss_anon_bytes"), most=most)
    bench.row("memory", "C, client, idle, from outside", "B/connection", outside("idle, C to mio"))
    for name in names:
        bench.row("memory", f"{name}, HTTP under load, from outside", "B/connection", outside(f"http, {name}"))


# ---- peak memory ---------------------------------------------------------------------------------


def rss_run(bench, what, connections):
    """ru_maxrss of wait4(2)."""
    seconds = bench.options.rss_seconds
    http_server = what != "brink, echo"
    with Nginx(bench.work, bench.programs["nginx"]) if http_server else target(bench, "mio") as server:
        name = what.partition(",")[0]
        command = (http_command(bench, name, server.url, connections, seconds) if http_server
                   else brink_load(bench, connections, seconds, *at(server)))
        with Client(bench.work, command) as client:
            used = client.finish(seconds + SPARE_S, BRINK_CODES if name == "brink" else (0,))
            return {"process": used, "peak_rss_mb": used["peak_rss_kib"] * 1024 / 1e6}


def rss(bench):
    names = ["brink, echo"]
    if bench.has("nginx"):
        names += ["brink, http", *(name for name in HTTP_PEERS if bench.has(name))]
    for round_ in bench.rounds():
        for connections in (64, 10000):
            for name in names:
                bench.keep("rss", name, connections, round_, lambda: rss_run(bench, name, connections))
    for connections, most in ((64, 6), (10000, 8)):
        for name in names:
            bench.row("rss", f"{connections:,}: {name}, peak", "MB", bench.values("rss", name, connections, "peak_rss_mb"),
                      most=most if name.startswith("brink") else None)


# ---- one message at a time -----------------------------------------------------------------------


def sockperf_run(bench, seconds):
    """Its server and its client; --full-rtt, since it tells half of a round trip otherwise."""
    port, program = free_port(), bench.programs["sockperf"]
    server = Client(bench.work, [program, "server", "--tcp", "-i", "127.0.0.1", "-p", str(port)], cpu=1)
    try:
        wait_for("sockperf's server", 10, lambda: "Warmup stage" in server.out() or "waiting" in server.out() or not server.runs())
        command = [program, "ping-pong", "--tcp", "-i", "127.0.0.1", "-p", str(port), "-m", str(HEADER_BYTES + PAYLOAD_BYTES), "-t",
                   str(seconds), "--full-rtt"]
        with Client(bench.work, command) as client:
            used = client.finish(seconds + SPARE_S)
            found = dict(re.findall(r"percentile (50|99)\.\d+\s*=\s*([\d.]+)", client.out()))
            if len(found) < 2:
                raise Failed(f"no percentiles: {client.out().strip()[-300:]}")
            return {"process": used, "p50_us": float(found["50"]), "p99_us": float(found["99"])}
    finally:
        server.end()


def one_at_a_time(bench, server_name, seconds):
    with echo_server(bench, server_name) as server:
        with Client(bench.work, echo_command(bench, "brink", server, 1, seconds)) as client:
            used = client.finish(seconds + SPARE_S, BRINK_CODES)
            result = brink_result(client)
            latency = result["latency_ns"]
            return {"process": used, **brink_faults(result), **{f"{name}_us": latency[name] / 1e3 for name in ("p50", "p99", "mean")}}


def roundtrip(bench):
    seconds = bench.options.seconds
    takes = {"brink to mio": lambda: one_at_a_time(bench, "mio", seconds),
             "brink to C server": lambda: one_at_a_time(bench, "C server", seconds),
             "C to C server": lambda: echo_run(bench, "C", "C server", 1, seconds)}
    if bench.has("sockperf"):
        takes = {"sockperf": lambda: sockperf_run(bench, seconds), **takes}
    for round_ in bench.rounds():
        for name, take in takes.items():
            bench.keep("roundtrip", name, 1, round_, take)
    for key in ("p50_us", "p99_us") if bench.has("sockperf") else ():
        for server, most in (("mio", 1.1), ("C server", None)):
            bench.row("roundtrip", f"brink to {server} / sockperf, {key[:3]}", "ratio",
                      bench.ratios("roundtrip", 1, key, f"brink to {server}", "sockperf"), most=most)
    for name in takes:
        for key in ("p50_us", "p99_us") if not name.startswith("C") else ():
            bench.row("roundtrip", f"{name}, {key[:3]}", "us", bench.values("roundtrip", name, 1, key))
        if name != "sockperf":
            bench.row("roundtrip", f"{name}, mean", "us", bench.values("roundtrip", name, 1, "mean_us"))


# ---- all of it -----------------------------------------------------------------------------------


def machine():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        model = re.search(r"model name\s*: (.*)", file.read())
    return {"kernel": platform.release(), "cpu": model[1] if model else platform.machine(), "cpus": os.cpu_count(),
            "cpus_allowed": sorted(os.sched_getaffinity(0)), "load_average_before": os.getloadavg()}


def versions(bench):
    known = {name: version(name, program) for name, program in bench.programs.items() if program}
    return {"brink": first_line(bench.brink, "--version"), "cc": first_line("cc", "--version"), **known}


def footer(bench, facts):
    lines = [f"{name}: {what}" for name, what in facts["versions"].items()]
    if bench.missing:
        lines.append(f"missing, hence not compared: {', '.join(bench.missing)}")
    if bench.left_out:
        lines.append(f"left out, as asked: {', '.join(bench.left_out)}")
    if bench.no_instructions:
        lines.append(f"instructions in user space: not available ({bench.no_instructions})")
    where = facts["machine"]
    lines.append(f"machine: {where['cpus']} CPUs, {where['cpu']}, Linux {where['kernel']}; client on CPU 0, server on CPU 1")
    before, after = (" ".join(f"{n:.2f}" for n in where[key]) for key in ("load_average_before", "load_average_after"))
    lines.append(f"load average before {before}, after {after}; {bench.options.rounds} rounds of {bench.options.seconds} s, pairs in turn")
    lines += ["CPU, window: of /proc/PID/stat, over the requests that nginx took meanwhile, all connections being open",
              "CPU, whole process: of wait4(2), start, connecting and end included, over the requests that it says it made",
              "sockperf: whole round trips (--full-rtt); what it calls latency otherwise is half of one"]
    return lines + [f"note: {note}" for note in bench.notes]


def write(bench, facts, lines):
    os.makedirs(bench.options.out, exist_ok=True)
    with open(os.path.join(bench.options.out, "peers.json"), "w", encoding="utf-8") as file:
        json.dump({"schema": "brink.bench/1", **facts, "rows": [row.plain() for row in bench.rows], "notes": bench.notes, "runs": bench.runs}, file, indent=1)
    with open(os.path.join(bench.options.out, "peers.md"), "w", encoding="utf-8") as file:
        listed = "".join(f"- {line}\n" for line in lines)
        file.write(f"# brink beside its peers\n\n{table.as_markdown(bench.rows)}\n\n{listed}")


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = flags()
    needed = {0, 1} - os.sched_getaffinity(0)
    if needed:
        raise SystemExit("bench-peers: CPUs 0 and 1 are needed")
    with tempfile.TemporaryDirectory() as work:
        bench = Bench(options, work)
        facts = {"machine": machine(), "versions": versions(bench), "missing": bench.missing,
                 "left_out": bench.left_out,
                 "options": {key: value for key, value in vars(options).items() if key != "out"}}
        takes = {"http": http, "echo": echo, "open": opening, "memory": memory, "rss": rss, "roundtrip": roundtrip}
        try:
            for name in SECTIONS:
                if name in options.only:
                    takes[name](bench)
        except KeyboardInterrupt:
            bench.note("interrupted: what follows was not measured")
        facts["machine"]["load_average_after"] = os.getloadavg()
        lines = footer(bench, facts)
        print(table.as_text(bench.rows), *lines, sep="\n")
        if options.out:
            write(bench, facts, lines)
    return 1 if any("failed" in run for run in bench.runs) else 0


if __name__ == "__main__":
    sys.exit(main())
