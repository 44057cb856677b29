#!/usr/bin/env python3
"""asyncio that hands what blocks to threads: `await loop.run_in_executor(pool, ...)`.

At most `--workers` requests wait or work at once, the rest queue for a thread; the loop stays
free for the others all the while. A request that asks for neither is answered by the loop.
"""

import asyncio
import concurrent.futures
import os
import time

from flags import number
from frame import FrameError, Frames, reply
from py_asyncio import serve
from target import Target


def blocking_call(target, delay_s, work_us):
    """What a library without asyncio support would do. Returns how long it waited."""
    waited_ns = 0
    if delay_s:
        begun_ns = time.perf_counter_ns()
        time.sleep(delay_s)
        waited_ns = time.perf_counter_ns() - begun_ns
    target.work.run(work_us)
    return waited_ns


async def converse(target, reader, writer):
    """Answers the requests of one connection, one after another."""
    loop = asyncio.get_running_loop()
    frames = Frames()
    try:
        while True:
            request = frames.next()
            if request is None:
                data = await reader.read(frames.read_len)
                if not data:
                    break
                frames.add(data)
                continue
            delay_s, work_us = target.asked(request)
            waited_ns = 0
            if delay_s or work_us:
                waited_ns = await loop.run_in_executor(target.pool, blocking_call, target, delay_s, work_us)
            writer.write(reply(request, waited_ns))
            await writer.drain()
    except (FrameError, OSError):
        pass  # not a frame, or the client is gone: this connection ends, the others go on
    except RuntimeError:
        pass  # no thread to be had for the pool: refuse this one, and serve with those there are
    finally:
        writer.close()


def add_flags(parser):
    default = min(32, (os.cpu_count() or 1) + 4)
    help_text = "threads of the pool [%(default)s, as Python's own]"
    parser.add_argument("--workers", type=number(1, 1_000_000), default=default, help=help_text)


def main():
    target = Target("py-asyncio-executor", __doc__, add_flags)
    target.pool = concurrent.futures.ThreadPoolExecutor(max_workers=target.options.workers)
    target.ready()
    asyncio.run(serve(target, target.listener, converse))


if __name__ == "__main__":
    main()
