"""What every Python target is besides its style: flags, the listening socket, the ready line,
CPU work, and an end on SIGTERM.

How connections are served belongs to the targets themselves, each of which can be read alone.
"""

import argparse
import errno
import hashlib
import json
import math
import os
import platform
import random
import re
import resource
import signal
import socket
import sys
import time

import frame

UNITS_NS = {"ns": 1, "us": 1e3, "\u00b5s": 1e3, "ms": 1e6, "s": 1e9, "m": 60e9, "min": 60e9, "h": 3600e9}
# Between two refusals, so that a flood of clients does not take the CPU from those already served.
REFUSAL_PAUSE_S = 0.001
OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)


class Target:
    """A listening target: `listener`, its flags in `options`, and what its requests ask for."""

    def __init__(self, model, doc, add_flags=None, listeners=1):
        end_on_signals()
        self.model = model
        self.options = parse(doc, add_flags)
        self.work = Work()
        raise_nofile()
        try:
            count = listeners(self.options) if callable(listeners) else listeners
            self.listeners = listen(self.options, count)
        except OSError as error:
            sys.exit("%s: cannot listen on %s port %d: %s" % (model, self.options.host, self.options.port, error))
        self.listener = self.listeners[0]
        self.spare = Spare()

    def asked(self, request):
        """How long to wait, in seconds, and how much to work, in microseconds."""
        delay_ns, work_us = frame.asked(request)
        if work_us == frame.WORK_OF_TARGET:
            work_us = self.options.work
        if delay_ns == frame.DELAY_OF_TARGET:
            return self.options.delay(), work_us
        return delay_ns / 1e9, work_us

    def ready(self, workers=None):
        """Says where it listens: the first line on stdout, one JSON object."""
        address = "[%s]:%d" if self.listener.family == socket.AF_INET6 else "%s:%d"
        line = {
            "address": address % self.listener.getsockname()[:2],
            "control": None,
            "pid": os.getpid(),
            "workers": workers or [os.getpid()],
            "model": self.model,
            "version": version(),
        }
        print(json.dumps(line), flush=True)

    def connections(self):
        """Accepts for ever. A connection for which there is no descriptor is closed."""
        while True:
            try:
                yield self.listener.accept()[0]
            except OSError as error:
                if error.errno in OUT_OF_DESCRIPTORS:
                    connection = self.spare.accept(self.listener)
                    if connection is not None:
                        yield connection
                # The client gave up, or the kernel has no memory just now.
                time.sleep(REFUSAL_PAUSE_S)


class Spare:
    """A descriptor held back, so that a newcomer can be taken and closed when there is no other:
    otherwise it would wait in the backlog until its own timeout."""

    def __init__(self):
        self.descriptor = os.open(os.devnull, os.O_RDONLY)

    def accept(self, listener):
        """Takes a connection with the spare descriptor. It is returned if a new spare can be had,
        which means that others have closed meanwhile, and closed if not."""
        connection = None
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None
            try:
                connection = listener.accept()[0]
            except OSError:
                pass
        if not self.regain() and connection is not None:
            connection.close()
            connection = None
            self.regain()
        return connection

    def regain(self):
        try:
            self.descriptor = os.open(os.devnull, os.O_RDONLY)
        except OSError:
            self.descriptor = None
        return self.descriptor is not None


class Work:
    """CPU work, calibrated at start: a microsecond stays the same amount of work when the machine
    gets busy, and then takes longer, as real work does."""

    STEPS = 1000
    ROUNDS = 20

    def __init__(self):
        # The fastest round is the one that was disturbed least.
        self.steps_per_us = self.STEPS / min(self.round_us() for _ in range(self.ROUNDS))

    def run(self, work_us):
        if work_us:
            hash_chain(round(work_us * self.steps_per_us))

    def round_us(self):
        begun_ns = time.perf_counter_ns()
        hash_chain(self.STEPS)
        return (time.perf_counter_ns() - begun_ns) / 1e3


def hash_chain(steps):
    """SHA-256 of SHA-256 and so on. hashlib lets go of the GIL for more than 2047 bytes at once;
    these 32 do not, so that threads take turns as they do in ordinary Python code."""
    sha256 = hashlib.sha256
    state = bytes(32)
    for _ in range(steps):
        state = sha256(state).digest()
    return state


# ---- flags -------------------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line that names the flag."""

    def error(self, message):
        self.exit(2, "%s: %s\n" % (self.prog, message.replace("argument ", "", 1)))


def parse(doc, add_flags):
    parser = Parser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.add_argument("--host", type=host, default="127.0.0.1", help="address to listen on [%(default)s]")
    parser.add_argument("--port", type=number(0, 65535), default=0, help="port to listen on, 0: any free one [0]")
    parser.add_argument("--backlog", type=number(1, 1 << 30), default=4096, help="asked of listen(2) [%(default)s]")
    parser.add_argument(
        "--delay", type=delay, default="0", help="wait before each reply: 100ms, 50ms..150ms or exp:100ms [0]"
    )
    parser.add_argument("--work", type=work, default="0", help="CPU work before each reply: 200us [0]")
    if add_flags is not None:
        add_flags(parser)
    return parser.parse_args()


def host(text):
    try:
        socket.getaddrinfo(text, 0, type=socket.SOCK_STREAM)
    except OSError as error:
        raise argparse.ArgumentTypeError("`%s` is not an address: %s" % (text, error.strerror))
    return text


def number(low, high):
    """A parser of whole numbers within bounds."""

    def whole(text):
        if not re.fullmatch("[0-9]{1,12}", text) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError("`%s` is not a whole number from %d to %d" % (text, low, high))
        return int(text)

    return whole


def size(text):
    """A size in bytes: 65536, 64KiB, 1MiB."""
    found = re.fullmatch("([0-9]{1,12}) *(|b|k|kib|m|mib|g|gib)", text.strip().lower())
    if not found:
        raise argparse.ArgumentTypeError("`%s` is not a size: write bytes as 65536, 64KiB or 1MiB" % text)
    return int(found[1]) << {"": 0, "b": 0, "k": 10, "m": 20, "g": 30}[found[2][:1]]


def duration_ns(text):
    """A duration as in crates/brink-wire/src/value.rs: `100ms`, `1.5s`; zero needs no unit."""
    if text.strip() == "0":
        return 0
    found = re.fullmatch(r"([0-9][0-9_]*(?:\.[0-9_]*)?) *([a-z\u00b5]+)", text.strip())
    if not found or found[2] not in UNITS_NS:
        raise argparse.ArgumentTypeError("`%s` is not a duration: write a number and a unit, as in 100ms" % text)
    return round(float(found[1].replace("_", "")) * UNITS_NS[found[2]])


def delay(text):
    """A distribution of waits as in crates/brink-wire/src/delay.rs, as a function that draws seconds."""
    if text.startswith("exp:"):
        mean_ns = duration_ns(text[4:])
        longest_ns = mean_ns * 10
        draw = lambda: min(-math.log(1.0 - random.random()), 10.0) * mean_ns / 1e9
    elif ".." in text:
        low_ns, longest_ns = map(duration_ns, text.split("..", 1))
        if low_ns > longest_ns:
            raise argparse.ArgumentTypeError("`%s` is empty: the first bound is the lower one" % text)
        draw = lambda: (low_ns + (longest_ns - low_ns) * random.random()) / 1e9
    else:
        longest_ns = duration_ns(text)
        draw = lambda: longest_ns / 1e9
    if longest_ns > frame.DELAY_NS_MAX:
        raise argparse.ArgumentTypeError(
            "`%s` waits too long: at most 1h (an exponential reaches ten times its mean)" % text
        )
    return draw


def work(text):
    """CPU work in microseconds."""
    work_us = duration_ns(text) / 1e3
    if work_us != int(work_us) or work_us > frame.WORK_US_MAX:
        raise argparse.ArgumentTypeError("`%s` is not whole microseconds up to 1m" % text)
    return int(work_us)


# ---- the process -------------------------------------------------------------------------------


def listen(options, count):
    """Listening sockets on one port; with more than one, the kernel deals connections out among
    them (SO_REUSEPORT, socket(7)). Accepted sockets have TCP_NODELAY from theirs."""
    family, _, _, _, address = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM)[0]
    if count > 1:
        # SO_REUSEPORT would share a port that somebody else serves with it, too: tried without first.
        with socket.socket(family, socket.SOCK_STREAM) as alone:
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            alone.bind(address)
            address = alone.getsockname()
    listeners = []
    for _ in range(count):
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if count > 1:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
        address = listener.getsockname()
        listeners.append(listener)
    for listener in listeners:
        listener.listen(options.backlog)
    return listeners


def raise_nofile():
    """As many descriptors as this process may have without asking anybody."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def end_on_signals():
    """SIGTERM and SIGINT end the process at once, whatever its threads and tasks are doing:
    nothing here needs to be put back."""
    for number_of in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number_of, lambda *_: os._exit(0))


def version():
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    return "Python " + platform.python_version() + ("" if gil else " free-threaded")
