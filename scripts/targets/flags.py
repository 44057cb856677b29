"""Flags of the Python programs, as brink itself understands them: numbers, durations, sizes, addresses, and one line
that names the flag where they are wrong.

What the flags mean belongs to the programs. Only what a start can afford is imported here: starts are measured too.
"""

import argparse
import re
import socket

UNITS_NS = {"ns": 1, "us": 1e3, "\u00b5s": 1e3, "ms": 1e6, "s": 1e9, "m": 60e9, "min": 60e9, "h": 3600e9}


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line that names the flag."""

    def __init__(self, doc):
        super().__init__(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)

    def error(self, message):
        self.exit(2, "%s: %s\n" % (self.prog, message.replace("argument ", "", 1)))


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


def stack_size(text):
    """Sets the stack of threads that begin from now on."""
    import threading

    try:
        threading.stack_size(size(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError("`%s`: %s" % (text, error))
    return size(text)
