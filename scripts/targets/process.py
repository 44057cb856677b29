"""What a Python program of brink does with its own process: descriptors, signals, and which Python it is."""

import os
import platform
import resource
import signal
import sys


def raise_nofile():
    """As many descriptors as this process may have without asking anybody."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def end_on_signals(code=lambda number: 0):
    """SIGTERM and SIGINT end the process at once, whatever its threads and tasks are doing:
    nothing here needs to be put back. `code` gives the exit code for a signal."""
    for number_of in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number_of, lambda number, _: os._exit(code(number)))


def gil():
    """Whether threads run Python code one at a time, in words."""
    built_without = "t" in getattr(sys, "abiflags", "")
    if hasattr(sys, "_is_gil_enabled"):  # CPython 3.13 on
        state = "on" if sys._is_gil_enabled() else "off"
    elif platform.python_implementation() in ("CPython", "PyPy"):
        state = "on"
    else:
        return "unknown"
    return "free-threaded build, " + state if built_without else state


def facts():
    """Which Python this is, as texts."""
    return {"python": platform.python_version(), "implementation": platform.python_implementation(), "gil": gil()}


def version():
    """The same, for a ready line."""
    words = [platform.python_implementation().replace("CPython", "Python"), platform.python_version()]
    if gil() != "on":
        words.append("(GIL: %s)" % gil())
    return " ".join(words)
