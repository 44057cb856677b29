#!/usr/bin/env python3
"""asyncio as most people write it: streams, a task per connection, `await asyncio.sleep`.

One thread runs everything. The wait of one connection costs the others nothing; the CPU work
of one is time that all of them wait. Streams rather than `asyncio.Protocol`, because this is the
asyncio that claims are about: an idle connection then takes 5.6 KB (reader, writer, transport, task,
coroutine), where a Protocol that answers from its callbacks took 1.7 KB (CPython 3.11).
"""

import asyncio
import time

from frame import FrameError, Frames, reply
from target import OUT_OF_DESCRIPTORS, Target


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
                await asyncio.sleep(delay_s)
                waited_ns = time.perf_counter_ns() - begun_ns
            target.work.run(work_us)
            writer.write(reply(request, waited_ns))
            await writer.drain()
    except (FrameError, OSError):
        pass  # not a frame, or the client is gone: this connection ends, the others go on
    finally:
        writer.close()


async def serve(target, listener, answer=converse):
    def out_of_descriptors(loop, context):
        """asyncio tells of a failed accept here, and leaves off accepting for a second."""
        if getattr(context.get("exception"), "errno", None) in OUT_OF_DESCRIPTORS:
            connection = target.spare.accept(listener)
            if connection is not None:
                connection.close()
        else:
            loop.default_exception_handler(context)

    asyncio.get_running_loop().set_exception_handler(out_of_descriptors)
    server = await asyncio.start_server(
        lambda reader, writer: answer(target, reader, writer), sock=listener, backlog=target.options.backlog
    )
    async with server:
        await server.serve_forever()


def main():
    target = Target("py-asyncio", __doc__)
    target.ready()
    asyncio.run(serve(target, target.listener))


if __name__ == "__main__":
    main()
