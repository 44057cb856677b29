#!/usr/bin/env python3
"""multiprocessing: several processes, each of which runs asyncio (py_asyncio.py) on the same port.

This is how Python uses more than one CPU with one GIL per process: prefork, as gunicorn and
uvicorn do. A process per connection would end at a few thousand connections. Who gets a connection:

--deal kernel   Each process has a listening socket of its own (SO_REUSEPORT), and the kernel deals by a hash:
                evenly over many connections, unevenly over few. The parent does nothing but wait for their end.
--deal evenly   The parent accepts and hands connections to the processes in turn, so that as many connections as
                there are processes keep all of them busy. Needs Python 3.9.
"""

import asyncio
import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import sys
import threading

from flags import number
from process import end_on_signals
from py_asyncio import converse, serve
from target import Target


class Worker:
    """What one process serves: a listening socket, or a pipe that connections come through (SCM_RIGHTS, unix(7))."""

    def __init__(self, listener):
        self.listener = listener
        self.dealt = self.deals = None
        if listener is None:
            self.dealt, self.deals = socket.socketpair()
        self.process = None

    def close(self):
        """Lets go of what the process itself serves."""
        for end in (self.listener, self.dealt):
            if end is not None:
                end.close()


def work_in_process(target, worker, parent_ends, parent):
    """A worker's whole life."""
    end_on_signals()
    # The worker's copies: kept open, they would keep the others' sockets and the pipe alive.
    for other in target.workers:
        if other is not worker:
            other.close()
        if other.deals is not None:
            other.deals.close()
    if worker.listener is None:
        target.listener.close()
    parent_ends.close()

    async def run():
        # The pipe ends when the parent does, however that dies.
        asyncio.get_running_loop().add_reader(parent.fileno(), os._exit, 0)
        if worker.listener is None:
            await serve_dealt(target, worker.dealt)
        else:
            await serve(target, worker.listener)

    asyncio.run(run())


async def serve_dealt(target, dealt):
    """Serves connections that the parent accepted."""
    tasks = set()

    async def begin(connection):
        try:
            reader, writer = await asyncio.open_connection(sock=connection)
        except OSError:
            connection.close()  # its client is gone already
            return
        await converse(target, reader, writer)

    def take():
        # Without a descriptor to be had it comes without one, and is closed thereby: its client is refused.
        _, descriptors, _, _ = socket.recv_fds(dealt, 1, 1)
        for descriptor in descriptors:
            connection = socket.socket(fileno=descriptor)
            connection.setblocking(False)
            task = asyncio.ensure_future(begin(connection))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    asyncio.get_running_loop().add_reader(dealt.fileno(), take)
    await asyncio.Event().wait()


def deal(target):
    """Accepts, and hands out in turn, for ever."""
    turn = 0
    for connection in target.connections():
        with connection:
            try:
                socket.send_fds(target.workers[turn].deals, [b"c"], [connection.fileno()])
            except OSError:
                pass  # its worker died, which the parent tells of; the client sees a close
        turn = (turn + 1) % len(target.workers)


def add_flags(parser):
    parser.add_argument(
        "--processes", type=number(1, 1024), default=os.cpu_count() or 1, help="workers [%(default)s, one per CPU]"
    )
    parser.add_argument(
        "--deal", choices=("kernel", "evenly"), default="kernel", help="who gets a connection [%(default)s]"
    )


def listeners(options):
    return options.processes if options.deal == "kernel" else 1


def main():
    target = Target("py-multiprocessing", __doc__, add_flags, listeners)
    evenly = target.options.deal == "evenly"
    if evenly and not hasattr(socket, "send_fds"):
        sys.exit("py-multiprocessing: --deal evenly needs Python 3.9")
    target.workers = [Worker(None if evenly else target.listeners[n]) for n in range(target.options.processes)]
    # fork: the workers get the sockets and the calibration from the parent.
    context = multiprocessing.get_context("fork")
    parent, parent_ends = context.Pipe(duplex=False)

    def end(*_):
        for worker in target.workers:
            if worker.process is not None and worker.process.is_alive():
                worker.process.terminate()
        for worker in target.workers:
            if worker.process is not None:
                worker.process.join(2)
        os._exit(0)

    for worker in target.workers:
        args = (target, worker, parent_ends, parent)
        # A daemon is a worker that does not outlive an orderly end of the parent.
        worker.process = context.Process(target=work_in_process, args=args, daemon=True)
        worker.process.start()
    for number_of in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number_of, end)
    target.ready([worker.process.pid for worker in target.workers])
    for worker in target.workers:
        worker.close()
    if evenly:
        threading.Thread(target=deal, args=(target,), daemon=True).start()
    watch([worker.process for worker in target.workers])


def watch(processes):
    """Waits for the workers, which end with the parent only, and says which died."""
    alive = {process.sentinel: process for process in processes}
    while alive:
        for sentinel in multiprocessing.connection.wait(list(alive)):
            process = alive.pop(sentinel)
            process.join()
            said = "py-multiprocessing: worker %d died, exit code %s" % (process.pid, process.exitcode)
            print(said, file=sys.stderr, flush=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
