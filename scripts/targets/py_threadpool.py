#!/usr/bin/env python3
"""concurrent.futures.ThreadPoolExecutor: each worker serves one connection until it closes.

The rest wait in the pool's queue, connected and unanswered. `--workers` bounds how many are
served at once; Python's own default is small.
"""

import concurrent.futures
import os
import time

from flags import number
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
        pass  # not a frame, or the client is gone: this connection ends, the worker takes the next
    finally:
        connection.close()


def add_flags(parser):
    default = min(32, (os.cpu_count() or 1) + 4)
    help_text = "threads of the pool [%(default)s, as Python's own]"
    parser.add_argument("--workers", type=number(1, 1_000_000), default=default, help=help_text)


def main():
    target = Target("py-threadpool", __doc__, add_flags)
    pool = concurrent.futures.ThreadPoolExecutor(max_workers=target.options.workers)
    target.ready()
    for connection in target.connections():
        try:
            pool.submit(converse, target, connection)
        except (RuntimeError, MemoryError):
            # The pool could not grow. It has queued the connection all the same, and a worker
            # it already has will come to it: fewer workers than asked, nothing lost.
            time.sleep(REFUSAL_PAUSE_S)


if __name__ == "__main__":
    main()
