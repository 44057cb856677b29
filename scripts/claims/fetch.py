#!/usr/bin/env python3
"""N fetches of one URL, in one of the ways in which Python does several things at once, each on a connection of its own.

sequential             one after another
threads                a threading.Thread for each
pool                   a concurrent.futures.ThreadPoolExecutor of --workers
asyncio                a task for each, on asyncio's streams
requests-sequential    one after another, requests.get
requests-threads       a threading.Thread for each, requests.get
aiohttp                a task for each, one aiohttp.ClientSession without its bound of 100 connections

The first four read and write HTTP themselves, in the same few lines, so that what differs is the way. With --payload it is a POST of so
many bytes, and where the path is /echo the reply must be the same. makespan_ns runs from before the first thread or task (and the event
loop) is made to the last reply; a latency from when a request's own code begins to run. import_ns is what the imports took that
this way needs and the others do not.
"""

import argparse
import os
import socket
import time
from urllib.parse import urlsplit

from said import begin, described, duration_ns, fail, leave, number, percentile, raise_nofile, say, skip


READ_LEN = 65536
HEAD_LEN_MAX = 65536


class Request:
    """What is asked for, by whichever way, and whether a reply is right."""

    def __init__(self, options):
        self.url = options.url.geturl()
        self.method = "POST" if options.payload else "GET"
        self.body = bytes(n & 0xFF for n in range(options.payload or 0)) or None
        self.echoes = self.body is not None and options.url.path == "/echo"
        self.timeout_s = options.timeout / 1e9
        # Looked up once and for all ways: a name is not what is measured.
        self.address = socket.getaddrinfo(options.url.hostname, options.url.port or 80, type=socket.SOCK_STREAM)[0][4][:2]
        path = options.url._replace(scheme="", netloc="", fragment="").geturl() or "/"
        head = "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n" % (self.method, path, options.url.netloc)
        if self.body is not None:
            head += "Content-Length: %d\r\n" % len(self.body)
        self.bytes = head.encode() + b"\r\n" + (self.body or b"")

    def check(self, status, body):
        """Raises ReplyError for what is not the reply that was asked for."""
        if status != 200:
            raise ReplyError("status %d" % status)
        if self.echoes and body != self.body:
            raise ReplyError("the reply is not what was sent")


def parse_head(head):
    """Status and length of the body, which is None where the connection's end is the body's."""
    lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(":", 1) for line in lines[1:] if ":" in line)
    if "chunked" in headers.get("transfer-encoding", ""):
        raise ReplyError("a chunked reply, which this way does not read")
    try:
        length = headers.get("content-length")
        return int(lines[0].split()[1]), None if length is None else int(length)
    except (IndexError, ValueError):
        raise ReplyError("not a reply of HTTP")


class ReplyError(Exception):
    """A reply came, and is wrong."""


class Tally:
    """How the requests went."""

    def __init__(self):
        self.latencies_ns = []
        self.failures = []

    def fetched(self, begun_ns):
        self.latencies_ns.append(time.perf_counter_ns() - begun_ns)

    def failed(self, error):
        self.failures.append(described(error))


# ---- one request, blocking ---------------------------------------------------------------------


def by_sockets(request, tally):
    begun_ns = time.perf_counter_ns()
    try:
        with socket.create_connection(request.address, request.timeout_s) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as asyncio does
            connection.sendall(request.bytes)
            request.check(*receive(connection))
        tally.fetched(begun_ns)
    except (OSError, ReplyError) as error:
        tally.failed(error)


def receive(connection):
    """Status and body of one reply."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += more(connection, HEAD_LEN_MAX - len(got))
    head, body = got.split(b"\r\n\r\n", 1)
    status, length = parse_head(head)
    parts, got_len = [body], len(body)
    while length is None or got_len < length:
        data = more(connection, READ_LEN, length is None)
        if not data:
            break
        parts.append(data)
        got_len += len(data)
    return status, b"".join(parts)


def more(connection, length, end_is_fine=False):
    data = connection.recv(min(length, READ_LEN)) if length > 0 else b""
    if not data and not end_is_fine:
        raise ReplyError("the reply ends in the middle")
    return data


def by_requests(request, tally):
    begun_ns = time.perf_counter_ns()
    try:
        reply = requests.request(request.method, request.url, data=request.body, timeout=request.timeout_s)
        request.check(reply.status_code, reply.content)
        tally.fetched(begun_ns)
    except (requests.RequestException, ReplyError) as error:
        tally.failed(error)


# ---- ways to do many ---------------------------------------------------------------------------


def one_after_another(fetch, request, tally, options):
    for _ in range(options.requests):
        fetch(request, tally)


def thread_for_each(fetch, request, tally, options):
    threads = []
    for _ in range(options.requests):
        thread = threading.Thread(target=fetch, args=(request, tally))
        try:
            thread.start()
        except (RuntimeError, MemoryError) as error:
            tally.failed(error)
            continue
        threads.append(thread)
    for thread in threads:
        thread.join()


def pool_of_threads(fetch, request, tally, options):
    with concurrent.futures.ThreadPoolExecutor(max_workers=options.workers) as pool:
        for future in [pool.submit(fetch, request, tally) for _ in range(options.requests)]:
            future.result()


def task_for_each(fetch, request, tally, options):
    async def all_of_them():
        await asyncio.gather(*[fetch(request, tally) for _ in range(options.requests)])

    asyncio.run(all_of_them())


async def by_streams(request, tally):
    begun_ns = time.perf_counter_ns()
    try:
        request.check(*await asyncio.wait_for(exchange(request), request.timeout_s))
        tally.fetched(begun_ns)
    except (OSError, EOFError, asyncio.LimitOverrunError, asyncio.TimeoutError, ReplyError) as error:
        tally.failed(error)


async def exchange(request):
    """Status and body of one reply, by streams."""
    reader, writer = await asyncio.open_connection(*request.address)
    try:
        writer.write(request.bytes)
        await writer.drain()
        status, length = parse_head(await reader.readuntil(b"\r\n\r\n"))
        return status, await (reader.read() if length is None else reader.readexactly(length))
    finally:
        writer.close()


def session_of_aiohttp(_, request, tally, options):
    async def fetch(session):
        begun_ns = time.perf_counter_ns()
        try:
            async with session.request(request.method, request.url, data=request.body) as reply:
                request.check(reply.status, await reply.read())
            tally.fetched(begun_ns)
        except (OSError, aiohttp.ClientError, asyncio.TimeoutError, ReplyError) as error:
            tally.failed(error)

    async def all_of_them():
        timeout = aiohttp.ClientTimeout(total=request.timeout_s)
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            await asyncio.gather(*[fetch(session) for _ in range(options.requests)])

    asyncio.run(all_of_them())


# Name, modules it needs, which of them is not Python's own, how many are done, and how one is.
WAYS = {
    "sequential": ([], None, one_after_another, by_sockets),
    "threads": (["threading"], None, thread_for_each, by_sockets),
    "pool": (["concurrent.futures.thread"], None, pool_of_threads, by_sockets),
    "asyncio": (["asyncio"], None, task_for_each, by_streams),
    "requests-sequential": (["requests"], "requests", one_after_another, by_requests),
    "requests-threads": (["requests", "threading"], "requests", thread_for_each, by_requests),
    "aiohttp": (["asyncio", "aiohttp"], "aiohttp", session_of_aiohttp, None),
}


def import_modules(names, package):
    """Makes them global, and says how long that took."""
    begun_ns = time.perf_counter_ns()
    for name in names:
        try:
            globals()[name.split(".")[0]] = __import__(name)
        except ImportError:
            if name != package:
                raise
            skip(package)
    return time.perf_counter_ns() - begun_ns


def url(text):
    try:
        parts = urlsplit(text)
        parts.port  # raises where it is none
    except ValueError as error:
        raise argparse.ArgumentTypeError("`%s` is not a URL: %s" % (text, error))
    if parts.scheme != "http" or not parts.hostname:
        raise argparse.ArgumentTypeError("`%s` is not a URL like http://127.0.0.1:7000/delay/0.1" % text)
    return parts


def timeout(text):
    limit_ns = duration_ns(text)
    if not limit_ns:
        raise argparse.ArgumentTypeError("`%s`: a request must be given some time" % text)
    return limit_ns


def parse():
    parser = begin(__doc__)
    parser.add_argument("--way", choices=WAYS, required=True, help="how")
    parser.add_argument("--url", type=url, required=True, help="what, as in http://127.0.0.1:7000/delay/0.1")
    parser.add_argument("-n", "--requests", type=number(1, 1_000_000), default=50, metavar="N", help="how many [50]")
    parser.add_argument("--workers", type=number(1, 100_000), default=20, metavar="N", help="pool: its threads [20]")
    parser.add_argument("--payload", type=number(1, 1 << 20), metavar="BYTES", help="POST so many bytes [GET]")
    parser.add_argument("--timeout", type=timeout, default="30s", metavar="TIME", help="of a request [30s]")
    return parser.parse_args()


def main():
    options = parse()
    modules, package, many, fetch = WAYS[options.way]
    import_ns = import_modules(modules, package)
    raise_nofile()
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "*"  # requests would ask a proxy for it, where there is one
    try:
        request, tally = Request(options), Tally()
    except OSError as error:
        fail("--url: %s: %s" % (options.url.hostname, error.strerror))
    try:
        begun_ns = time.perf_counter_ns()
        many(fetch, request, tally, options)
        makespan_ns = time.perf_counter_ns() - begun_ns
    except (RuntimeError, MemoryError, OSError) as error:
        fail("not all of %d requests could be begun: %s" % (options.requests, described(error)))
    measures = {"makespan_ns": makespan_ns, "requests": options.requests, "failed": len(tally.failures), "import_ns": import_ns}
    if tally.latencies_ns:
        measures.update(p50_ns=percentile(tally.latencies_ns, 0.50), p99_ns=percentile(tally.latencies_ns, 0.99))
    say(measures)
    if tally.failures:
        first = max(set(tally.failures), key=tally.failures.count)
        often = tally.failures.count(first)
        fail("%d of %d requests failed, %d of them so: %s" % (len(tally.failures), options.requests, often, first))
    leave(0)


if __name__ == "__main__":
    main()
