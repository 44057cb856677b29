#!/usr/bin/env python3
"""multiprocessing: several processes, each of which runs asyncio (py_asyncio.py) on the same port.

This is how Python uses more than one CPU with one GIL per process: prefork, as gunicorn and
uvicorn do. A process per connection would end at a few thousand connections. Each process has a
listening socket of its own (SO_REUSEPORT) and the kernel deals connections out among them by a
hash: evenly over many, unevenly over few. The parent does nothing but wait for their end.
"""

import asyncio
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys

from py_asyncio import serve
from target import Target, end_on_signals, number


def work_in_process(target, listener, parent_ends, parent):
    """A worker's whole life."""
    end_on_signals()
    # The worker's copies: kept open, they would keep the others' sockets and the pipe alive.
    for other in target.listeners:
        if other is not listener:
            other.close()
    parent_ends.close()

    async def run():
        # The pipe ends when the parent does, however that dies.
        asyncio.get_running_loop().add_reader(parent.fileno(), os._exit, 0)
        await serve(target, listener)

    asyncio.run(run())


def add_flags(parser):
    parser.add_argument(
        "--processes", type=number(1, 1024), default=os.cpu_count() or 1, help="workers [%(default)s, one per CPU]"
    )


def main():
    target = Target("py-multiprocessing", __doc__, add_flags, lambda options: options.processes)
    # fork: the workers get the listening sockets and the calibration from the parent.
    context = multiprocessing.get_context("fork")
    parent, parent_ends = context.Pipe(duplex=False)
    workers = []

    def end(*_):
        for worker in workers:
            if worker.is_alive():
                worker.terminate()
        for worker in workers:
            worker.join(2)
        os._exit(0)

    for listener in target.listeners:
        args = (target, listener, parent_ends, parent)
        # A daemon is a worker that does not outlive an orderly end of the parent.
        worker = context.Process(target=work_in_process, args=args, daemon=True)
        worker.start()
        workers.append(worker)
    for number_of in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number_of, end)
    target.ready([worker.pid for worker in workers])
    for listener in target.listeners:
        listener.close()
    alive = {worker.sentinel: worker for worker in workers}
    while alive:
        for sentinel in multiprocessing.connection.wait(list(alive)):
            worker = alive.pop(sentinel)
            worker.join()
            said = "py-multiprocessing: worker %d died, exit code %s" % (worker.pid, worker.exitcode)
            print(said, file=sys.stderr, flush=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
