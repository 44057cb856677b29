"""A server that stands still for a while under an open loop: makes it so, and knows what must come of it.

    stall.py stop  PID AFTER_S FOR_S                            stops PID; prints how long it really was, in seconds
    stall.py check FILE STALL_S RATE_PER_S CONNECTIONS DELAY_MS compares a result with the arithmetic, within 5%; random
                                                            arrivals within 15%
"""

import json
import os
import signal
import sys
import time

BOUND = 0.05
# Of 1,000 random arrivals a second 32 more or less (one standard deviation) fall into the stall, which moves p95 by 3%.
BOUND_RANDOM = 0.15


def stop(pid, after_s, for_s):
    time.sleep(after_s)
    begin = time.monotonic()
    os.kill(pid, signal.SIGSTOP)
    time.sleep(for_s)
    os.kill(pid, signal.SIGCONT)
    print(time.monotonic() - begin)


def expected(stall_s, rate_per_s, connections, delay_s, window_s):
    """Latencies of requests that are due evenly and served first come, first served, by so many connections, each of
    which carries one at a time for the delay; nothing is served while the server stands still."""
    begin_s = 4.0
    end_s = begin_s + stall_s
    free_s = [0.0] * connections
    latencies = []
    for k in range(int(rate_per_s * window_s)):
        due_s = k / rate_per_s
        turn = min(range(connections), key=free_s.__getitem__)
        sent_s = max(due_s, free_s[turn])
        reply_s = sent_s + delay_s
        if begin_s <= sent_s < end_s:
            # It is read only when the server goes on.
            reply_s = end_s + delay_s
        elif sent_s < begin_s < reply_s:
            reply_s = end_s
        free_s[turn] = reply_s
        latencies.append(reply_s - due_s)
    return sorted(latencies)


def check(path, stall_s, rate_per_s, connections, delay_s):
    with open(path, encoding="utf-8") as file:
        result = json.load(file)
    window_s = result["case"]["load"]["duration_ns"] / 1e9
    latencies = expected(stall_s, rate_per_s, connections, delay_s, window_s)
    seen = result["latency_ns"]
    arrivals = result["case"]["load"]["workload"]["arrivals"]
    bound = BOUND if arrivals == "fixed" else BOUND_RANDOM
    bad = 0
    print(f"    stood still for {stall_s:.4f} s; {result['requests']['intended']} requests due")
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0)):
        want = latencies[min(int(share * len(latencies)), len(latencies) - 1)]
        have = percentile(result, share) if name == "p95" else seen[name] / 1e9
        off = have / want - 1
        print(f"    {name}: arithmetic {want * 1e3:.2f} ms, measured {have * 1e3:.2f} ms, {off:+.1%}")
        bad += abs(off) > bound
    if seen["from"] != "due" or result["requests"]["failed"] or result["requests"]["not_sent"]:
        print(f"    {seen['from']}, {result['requests']}")
        bad += 1
    return 1 if bad else 0


def percentile(result, share):
    """From the histogram that the result carries: HdrHistogram V2, base64, not deflated
    (HdrHistogram/HdrHistogram, doc/Histogram-Encoding)."""
    import base64
    import struct

    raw = base64.b64decode(result["latency_ns"]["hdr"])
    cookie, length, _, digits, lowest, _, _ = struct.unpack(">iiiiqqd", raw[:40])
    if cookie & ~0xF0 != 0x1C849303:
        raise SystemExit(f"not an uncompressed V2 histogram: {cookie:#x}")
    counts, at, index, end = {}, 40, 0, 40 + length
    while at < end:
        shift = value = 0
        while True:
            byte = raw[at]
            at += 1
            if shift == 56:
                value |= byte << shift
                break
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
        value = (value >> 1) ^ -(value & 1)
        if value < 0:
            index -= value
        else:
            if value:
                counts[index] = value
            index += 1
    half_bits = (2 * 10**digits - 1).bit_length() - 1
    half, unit = 1 << half_bits, lowest.bit_length() - 1
    total, seen = sum(counts.values()), 0
    for index in sorted(counts):
        seen += counts[index]
        if seen >= share * total:
            bucket, sub = (index >> half_bits) - 1, (index & (half - 1)) + half
            if bucket < 0:
                bucket, sub = 0, sub - half
            return ((sub + 1 << bucket + unit) - 1) / 1e9
    raise SystemExit("the histogram is empty")


if sys.argv[1] == "stop":
    stop(int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
else:
    sys.exit(check(sys.argv[2], float(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]), float(sys.argv[6]) / 1e3))
