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
import random
import socket
import statistics
import sys
import time

import frame
from flags import Parser, duration_ns, host, number
from process import end_on_signals, raise_nofile, version

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
    gets busy, and then takes longer, as real work does. As crates/brink-target/src/work.rs does it."""

    ROUND_STEPS = 1000
    # A tenth of a second, since what neighbours take, and what the clock gains for a while, lasts for some ten milliseconds.
    CALIBRATION_NS = 100_000_000
    TRIAL_US = 200
    TRIALS = 15
    # Tried out further off than this, it is calibrated again, so many times in all.
    ERROR_MAX = 0.02
    CALIBRATIONS = 3

    def __init__(self):
        found = []
        for _ in range(self.CALIBRATIONS):
            self.steps_per_us = self.calibrate()
            found.append((abs(self.error_ratio()), self.steps_per_us))
            if found[-1][0] <= self.ERROR_MAX:
                break
        self.steps_per_us = min(found)[1]

    def run(self, work_us):
        if work_us:
            hash_chain(round(work_us * self.steps_per_us))

    def calibrate(self):
        """Steps in a microsecond: the median of the rounds, since in the fastest the clock ran faster than it does for long."""
        rounds_us = []
        end_ns = time.perf_counter_ns() + self.CALIBRATION_NS
        while time.perf_counter_ns() < end_ns:
            rounds_us.append(took_us(hash_chain, self.ROUND_STEPS))
        return self.ROUND_STEPS / statistics.median(rounds_us)

    def error_ratio(self):
        """How far it is off when it is tried out: (took - asked) / asked."""
        return statistics.median(took_us(self.run, self.TRIAL_US) for _ in range(self.TRIALS)) / self.TRIAL_US - 1


def took_us(function, *args):
    begun_ns = time.perf_counter_ns()
    function(*args)
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


def parse(doc, add_flags):
    parser = Parser(doc)
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


# ---- listening ----------------------------------------------------------------------------------


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
