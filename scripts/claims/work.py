#!/usr/bin/env python3
"""CPU work without sockets: n jobs of pure Python, by --workers, against the same jobs one after another.

sequential    one after another (against itself: what two equal ways differ by here)
threads       a concurrent.futures.ThreadPoolExecutor
processes     a concurrent.futures.ProcessPoolExecutor, by fork

A job is a loop of --job-ms milliseconds, calibrated first, in this program alone, and then the same for both ways. They are measured in
turns, A B A B. makespan_ns and sequential_ns are the medians, speedup the median of each pair's sequential by parallel; speedup_min and
speedup_max are the extremes. Making the workers is part of a makespan, as it is of a program that does this.
"""

import concurrent.futures
import multiprocessing
import os
import threading
import time

from said import begin, described, fail, leave, median, number, say

# A tenth of a second and its median: what neighbours take, and what the clock gains for a while, lasts for some ten milliseconds.
CALIBRATION_NS = 100_000_000
CALIBRATION_LOOPS = 10_000


def loop(loops):
    """Pure Python, which holds the GIL where there is one."""
    state = 1
    for n in range(loops):
        state = (state * 31 + n) & 0xFFFFFFFF
    return state


def took_ns(function, *args):
    begun_ns = time.perf_counter_ns()
    function(*args)
    return time.perf_counter_ns() - begun_ns


def loops_of(job_ms):
    """How many loops are a job."""
    rounds_ns = []
    end_ns = time.perf_counter_ns() + CALIBRATION_NS
    while time.perf_counter_ns() < end_ns:
        rounds_ns.append(took_ns(loop, CALIBRATION_LOOPS))
    return max(1, round(job_ms * 1e6 * CALIBRATION_LOOPS / median(rounds_ns)))


# ---- ways --------------------------------------------------------------------------------------


def one_after_another(loops, options):
    return [loop(loops) for _ in range(options.jobs)]


def by_threads(loops, options):
    with concurrent.futures.ThreadPoolExecutor(options.workers) as pool:
        return list(pool.map(loop, [loops] * options.jobs))


def by_processes(loops, options):
    # fork: a worker that begins as a new Python would import everything again.
    context = multiprocessing.get_context("fork")
    parent, parent_ends = os.pipe()
    tie = {"initializer": end_with_parent, "initargs": (parent, parent_ends)}
    with concurrent.futures.ProcessPoolExecutor(options.workers, mp_context=context, **tie) as pool:
        results = list(pool.map(loop, [loops] * options.jobs))
    os.close(parent)
    os.close(parent_ends)
    return results


def end_with_parent(parent, parent_ends):
    """In a worker: it does not outlive its parent, however that ends. Only the parent has the other end of this pipe then."""
    os.close(parent_ends)

    def wait_for_the_end():
        os.read(parent, 1)  # nothing ever comes: it returns at the end of the pipe
        os._exit(1)

    threading.Thread(target=wait_for_the_end, daemon=True).start()


WAYS = {"sequential": one_after_another, "threads": by_threads, "processes": by_processes}


def usable_cpus():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parse():
    parser = begin(__doc__)
    cpus = usable_cpus()
    parser.add_argument("--way", choices=WAYS, required=True, help="how")
    parser.add_argument("--workers", type=number(1, 1024), default=cpus, metavar="W", help="[%(default)s, one per CPU]")
    parser.add_argument("-n", "--jobs", type=number(1, 100_000), default=2 * cpus, metavar="N", help="how many [%(default)s]")
    parser.add_argument("--job-ms", type=number(1, 60_000), default=100, metavar="MS", help="CPU work of each [100]")
    parser.add_argument("--rounds", type=number(1, 1000), default=5, metavar="N", help="of both ways, in turns [5]")
    return parser.parse_args()


def main():
    options = parse()
    way = WAYS[options.way]
    loops = loops_of(options.job_ms)
    if way(loops, options) != one_after_another(loops, options):  # what is only slow the first time is over
        fail("the way changes the result")
    pairs = []
    try:
        for _ in range(options.rounds):
            sequential_ns = took_ns(one_after_another, loops, options)
            pairs.append((sequential_ns, took_ns(way, loops, options)))
    except (RuntimeError, MemoryError, OSError) as error:
        fail("%d workers could not be had: %s" % (options.workers, described(error)))
    speedups = [one / other for one, other in pairs]
    say({
        "makespan_ns": median([other for _, other in pairs]),
        "sequential_ns": median([one for one, _ in pairs]),
        "speedup": median(speedups),
        "speedup_min": min(speedups),
        "speedup_max": max(speedups),
        "workers": options.workers,
        "cpus": usable_cpus(),
        "jobs": options.jobs,
        "job_ns": options.job_ms * 1_000_000,
        "rounds": options.rounds,
    })
    leave(0)


if __name__ == "__main__":
    main()
