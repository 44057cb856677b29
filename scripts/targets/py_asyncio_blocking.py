#!/usr/bin/env python3
"""The mistake: asyncio with `time.sleep` inside the coroutine.

While one request waits, the only thread there is waits with it: whatever the number of
connections, at most 1/delay requests a second are answered.
"""

import asyncio
import time

from frame import FrameError, Frames, reply
from py_asyncio import serve
from target import Target


async def converse(target, reader, writer):
    """Answers the requests of one connection, one after another."""
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
            if delay_s:
                begun_ns = time.perf_counter_ns()
                time.sleep(delay_s)  # the mistake
                waited_ns = time.perf_counter_ns() - begun_ns
            target.work.run(work_us)
            writer.write(reply(request, waited_ns))
            await writer.drain()
    except (FrameError, OSError):
        pass  # not a frame, or the client is gone: this connection ends, the others go on
    finally:
        writer.close()


def main():
    target = Target("py-asyncio-blocking", __doc__)
    target.ready()
    asyncio.run(serve(target, target.listener, converse))


if __name__ == "__main__":
    main()
