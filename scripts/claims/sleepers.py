#!/usr/bin/env python3
"""N waits of one length at once, without a socket: what threads and tasks cost where nothing else does.

threads    a threading.Thread for each, time.sleep
pool       a concurrent.futures.ThreadPoolExecutor of --workers, time.sleep
asyncio    a task for each, asyncio.sleep

makespan_ns runs from before the first thread or task (and the event loop) is made to the end of the last wait.

With --hold TIME it is about memory instead: sleepers that do not wake are made in ten steps, memory is read from /proc once those
of a step all wait and it stands still, and ..._per_sleeper are the slopes through these plateaus, by least squares. user_bytes,
virtual_bytes and page_table_bytes are those of the process at the last one, which is held for TIME so that others can look too. In a pool
a sleeper is a wait that was submitted: past --workers they queue.
"""

import threading
import time

from memory import of_process, slopes
from said import begin, described, duration_ns, fail, leave, number, say, stack_size

PLATEAUS = 10
# Longer than any run, and no more than a timer takes.
WITHOUT_END_S = 86_400.0
LOOK_S = 0.01
# Memory stands still if it changes by less between two looks, or is not waited for any longer.
STILL_BYTES = 16 * 1024
SETTLE_S_MAX = 5.0


class Waits:
    """The sleepers: how long each waits, and how many have begun to."""

    def __init__(self, delay_s):
        self.delay_s = delay_s
        self.begun = []  # appending is atomic, with a GIL and without; it is 8 bytes of a sleeper's memory

    def block(self):
        self.begun.append(None)
        time.sleep(self.delay_s)

    async def wait(self):
        self.begun.append(None)
        await asyncio.sleep(self.delay_s)


# ---- makespan ----------------------------------------------------------------------------------


def threads_at_once(waits, options):
    threads = [threading.Thread(target=waits.block) for _ in range(options.sleepers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def pool_at_once(waits, options):
    with concurrent.futures.ThreadPoolExecutor(max_workers=options.workers) as pool:
        for future in [pool.submit(waits.block) for _ in range(options.sleepers)]:
            future.result()


def tasks_at_once(waits, options):
    async def all_of_them():
        await asyncio.gather(*[waits.wait() for _ in range(options.sleepers)])

    asyncio.run(all_of_them())


# ---- memory ------------------------------------------------------------------------------------


def steps(count):
    """Counts of sleepers at the plateaus, upwards."""
    return sorted({max(1, count * step // PLATEAUS) for step in range(1, PLATEAUS + 1)})


def at_rest(waits, wanted):
    """Looks at memory until all that are wanted wait and it stands still. A generator: how to wait between two looks is the
    caller's affair. What it returns is memory and whether it stood still."""
    before = None
    end_ns = time.perf_counter_ns() + round(SETTLE_S_MAX * 1e9)
    while True:
        memory = of_process()
        begun = len(waits.begun) >= wanted
        still = begun and before is not None and abs(memory["user_bytes"] - before["user_bytes"]) <= STILL_BYTES
        if still or time.perf_counter_ns() > end_ns:
            if not begun:
                fail("only %d of %d sleepers began within %g s" % (len(waits.begun), wanted, SETTLE_S_MAX))
            return memory, still
        before = memory
        yield LOOK_S


def look(waits, wanted):
    looks = at_rest(waits, wanted)
    while True:
        try:
            time.sleep(next(looks))
        except StopIteration as found:
            return found.value


def threads_in_steps(waits, options):
    plateaus, made = [], 0
    for count in steps(options.sleepers):
        for _ in range(count - made):
            threading.Thread(target=waits.block, daemon=True).start()
        made = count
        plateaus.append((count,) + look(waits, count))
    time.sleep(options.hold / 1e9)
    return plateaus


def pool_in_steps(waits, options):
    plateaus, made = [], 0
    pool = concurrent.futures.ThreadPoolExecutor(max_workers=options.workers)
    for count in steps(options.sleepers):
        for _ in range(count - made):
            pool.submit(waits.block)
        made = count
        plateaus.append((count,) + look(waits, min(count, options.workers)))
    time.sleep(options.hold / 1e9)
    return plateaus


def tasks_in_steps(waits, options):
    async def all_of_them():
        tasks, plateaus = [], []
        for count in steps(options.sleepers):
            tasks += [asyncio.ensure_future(waits.wait()) for _ in range(count - len(tasks))]
            looks = at_rest(waits, count)
            while True:
                try:
                    await asyncio.sleep(next(looks))
                except StopIteration as found:
                    plateaus.append((count,) + found.value)
                    break
        await asyncio.sleep(options.hold / 1e9)
        say_memory(plateaus, options)
        leave(0)  # the sleepers do not end

    asyncio.run(all_of_them())


def say_memory(plateaus, options):
    points = [(count, memory) for count, memory, _ in plateaus]
    measures = {"sleepers": options.sleepers, "plateaus": len(points), "unsettled": sum(not still for _, _, still in plateaus)}
    measures.update(points[-1][1])
    measures.update({name + "_per_sleeper": value for name, value in slopes(points).items()})
    say(measures)


# Modules it needs, all at once, and in steps.
WAYS = {
    "threads": ([], threads_at_once, threads_in_steps),
    "pool": (["concurrent.futures.thread"], pool_at_once, pool_in_steps),
    "asyncio": (["asyncio"], tasks_at_once, tasks_in_steps),
}


def parse():
    parser = begin(__doc__)
    parser.add_argument("--way", choices=WAYS, required=True, help="how")
    parser.add_argument("-n", "--sleepers", type=number(1, 1_000_000), default=1000, metavar="N", help="how many [1000]")
    parser.add_argument("--delay", type=duration_ns, default="1ms", metavar="TIME", help="how long each waits [1ms]")
    parser.add_argument("--workers", type=number(1, 100_000), default=20, metavar="N", help="pool: its threads [20]")
    parser.add_argument("--stack-size", type=stack_size, metavar="SIZE", help="stack of a thread [Python's own]")
    parser.add_argument("--hold", type=duration_ns, metavar="TIME", help="measure memory, and hold all for so long")
    options = parser.parse_args()
    if options.hold is not None and len(steps(options.sleepers)) < 5:
        parser.error("--hold: a slope needs at least 5 sleepers (-n)")
    return options


def main():
    options = parse()
    modules, at_once, in_steps = WAYS[options.way]
    begun_ns = time.perf_counter_ns()
    for name in modules:
        globals()[name.split(".")[0]] = __import__(name)
    import_ns = time.perf_counter_ns() - begun_ns
    try:
        if options.hold is not None:
            say_memory(in_steps(Waits(WITHOUT_END_S), options), options)
            leave(0)
        waits = Waits(options.delay / 1e9)
        begun_ns = time.perf_counter_ns()
        at_once(waits, options)
        makespan_ns = time.perf_counter_ns() - begun_ns
    except (RuntimeError, MemoryError, OSError) as error:
        fail("not all of %d sleepers could be made: %s" % (options.sleepers, described(error)))
    say({"makespan_ns": makespan_ns, "sleepers": options.sleepers, "import_ns": import_ns})
    leave(0)


if __name__ == "__main__":
    main()
