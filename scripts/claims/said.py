"""What the programs of the claims share: how they begin, what they say at the end, and how they fail.

The last line on stdout is one JSON object: numbers, whose names end in their unit (`_ns`, `_bytes`), and texts. It is
printed once all is measured. What is measured belongs to the programs, and nothing here is imported that they
do not need: their start is measured too.
"""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "targets"))

from flags import Parser, duration_ns, number, stack_size  # noqa: E402  (they are in the folder of the targets)
from process import end_on_signals, facts, raise_nofile  # noqa: E402

INSTALL = "pip install -r scripts/claims/requirements.txt"


def begin(doc):
    """The parser of a program that from now on ends at once when it is told to, by 128 and the signal's number."""
    end_on_signals(lambda number_of: 128 + number_of)
    return Parser(doc)


def say(measures):
    """Prints what was measured, and which Python it was."""
    print(json.dumps(dict(measures, **facts())), flush=True)


def skip(module):
    """Ends it as not run at all, which is no failure."""
    print(json.dumps({"skipped": "%s is not installed: %s" % (module, INSTALL)}), flush=True)
    sys.exit(0)


def fail(text):
    """Ends it in one line."""
    print("%s: %s" % (os.path.basename(sys.argv[0]), text), file=sys.stderr, flush=True)
    leave(1)


def leave(code):
    """Ends it without waiting for threads and tasks that are still at it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def described(error):
    """An exception in a few words, the same for the same cause."""
    name = type(error).__name__
    reason = getattr(error, "strerror", None) or str(error).split("\n")[0][:120]
    return "%s: %s" % (name, reason) if reason else name


def percentile(values, share):
    """The smallest value that at least this share of the values does not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = -(-len(ordered) * share // 1)  # rounded up
    return ordered[max(int(rank), 1) - 1]


def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
