#!/usr/bin/env python3
"""A blocking thread per connection: recv, `time.sleep`, sendall.

The wait lets go of the GIL, the work holds it: threads wait side by side and work in turns.
"""

import threading
import time

from flags import stack_size
from frame import FrameError, Frames, reply
from target import REFUSAL_PAUSE_S, Target


def converse(target, connection):
    """Answers the requests of one connection, one after another."""
    frames = Frames()
    try:
        while True:
            request = frames.next()
            if request is None:
                data = connection.recv(frames.read_len)
                if not data:
                    break
                frames.add(data)
                continue
            delay_s, work_us = target.asked(request)
            waited_ns = 0
            if delay_s:
                begun_ns = time.perf_counter_ns()
                time.sleep(delay_s)
                waited_ns = time.perf_counter_ns() - begun_ns
            target.work.run(work_us)
            connection.sendall(reply(request, waited_ns))
    except (FrameError, OSError):
        pass  # not a frame, or the client is gone: this connection ends, the others go on
    finally:
        connection.close()


def add_flags(parser):
    parser.add_argument("--stack-size", type=stack_size, help="stack of a thread, as in 64KiB [Python's own]")


def main():
    target = Target("py-threading", __doc__, add_flags)
    target.ready()
    for connection in target.connections():
        try:
            threading.Thread(target=converse, args=(target, connection), daemon=True).start()
        except (RuntimeError, MemoryError):
            # No thread to be had: refuse this one, and serve those there are.
            connection.close()
            time.sleep(REFUSAL_PAUSE_S)


if __name__ == "__main__":
    main()
