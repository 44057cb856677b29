"""What brink recorded, against what the kernel saw on the wire.

    accuracy.py watch PORT FILE                  sees the frames from and to PORT on lo until SIGTERM, and writes when each came
    accuracy.py compare WATCHED RESULT [SHIFT]   the two for one run; exit code 1 where they disagree. SHIFT: microseconds added
                                                 to what brink recorded, to see that a disagreement is seen
    accuracy.py selftest WATCHED RESULT          the same, expecting that a shift of 200 us either way is a disagreement
    accuracy.py report DIR                       DIR/HOW.NAME.ROUND.lag.json, and .watched.json with .result.json, of all rounds:
                                                 writes accuracy.json and accuracy.md, prints the latter

The witness is a packet socket with a ring in shared memory (packet(7), TPACKET_V2): the kernel stamps each packet as
it arrives and puts it there, nobody is woken, and the ring is read when the run is over. Bound to ETH_P_IP it sees
what arrives and not what leaves, so a packet on loopback is there once. Its stamp is taken as it is put there, before TCP
has it: the one that it may bear already is when TCP let it go, by another clock, which packet(7) leaves alone.

A request is on the wire from the packet that carries it to the packet that carries its reply, told by the sequence number.
brink's clock starts before its send(2) and stops after its recv(2), so it sees that and its own way through the
kernel and back to its thread. In an open loop the clock starts when the request is due: even arrivals come due in steps, so
that the schedule is known from the wire, but for its begin, which is that of the request that was least late.
"""

import glob
import json
import mmap
import os
import signal
import socket
import statistics
import struct
import sys
import time

# What is asked.
LAG_NS_P99_MAX = 100_000
APART_US_MAX = 20.0
# On a machine that is slower, or busy, both take longer: as much again as was on the wire is then brink's, up to this.
MORE_US_MAX = 100.0
# What was recorded holds what was on the wire. This much less is the ends of the window, which the wire knows less well.
BELOW_US_MAX = 5.0
LOST_SHARE_MAX = 0.01

# How the client waits.
HOW = {"polling": "client stays awake", "awake": "CPUs kept awake", "sleeping": "client and CPUs sleep"}

# linux/if_packet.h, asm-generic/socket.h
SOL_PACKET, PACKET_RX_RING, PACKET_STATISTICS, PACKET_VERSION, TPACKET_V2 = 263, 5, 6, 10, 1
SO_ATTACH_FILTER = 26
ETH_P_IP = 0x0800
TP_STATUS_USER = 1
BLOCK_BYTES, BLOCKS, FRAME_BYTES = 1 << 20, 40, 256
FRAMES = BLOCK_BYTES * BLOCKS // FRAME_BYTES
# As crates/brink-wire/src/frame.rs has it.
MAGIC, HEADER_BYTES, WORK_OF_TARGET = b"BRNK", 40, 0xFFFF_FFFF


def frames_of(port):
    """A classic BPF program: TCP over IPv4 from or to that port, long enough for a frame's header."""
    load_byte, load_half, load_half_at_x = 0x30, 0x28, 0x48
    load_x_ip_header, equal, at_least, give = 0xB1, 0x15, 0x35, 0x06
    return [
        (load_byte, 0, 0, 9),
        (equal, 0, 8, socket.IPPROTO_TCP),
        (load_half, 0, 0, 2),
        (at_least, 0, 6, 20 + 20 + HEADER_BYTES),
        (load_x_ip_header, 0, 0, 0),
        (load_half_at_x, 0, 0, 0),
        (equal, 2, 0, port),
        (load_half_at_x, 0, 0, 2),
        (equal, 0, 1, port),
        (give, 0, 0, 60 + 60 + HEADER_BYTES),
        (give, 0, 0, 0),
    ]


def attach(packets, program):
    import ctypes

    text = b"".join(struct.pack("HBBI", *line) for line in program)
    kept = ctypes.create_string_buffer(text, len(text))
    packets.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HxxxxxxP", len(program), ctypes.addressof(kept)))


def watch(port, path):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    # Nothing is taken until the filter is there and the socket bound.
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0) as packets:
        attach(packets, frames_of(port))
        packets.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V2)
        packets.setsockopt(SOL_PACKET, PACKET_RX_RING, struct.pack("IIII", BLOCK_BYTES, BLOCKS, FRAME_BYTES, FRAMES))
        with mmap.mmap(packets.fileno(), BLOCK_BYTES * BLOCKS) as ring:
            packets.bind(("lo", ETH_P_IP))
            print("watching", flush=True)
            signal.sigwait({signal.SIGTERM, signal.SIGINT})
            seen, lost = struct.unpack("II", packets.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
            watched = exchanges_in(ring, port)
    watched.update(packets=seen, lost=lost)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(watched, file, separators=(",", ":"))


def exchanges_in(ring, port):
    """Pairs requests with their replies. Times count from the first packet, so that they fit a float."""
    asked, replies, first_ns = {}, {}, None
    odd = {"repeated": 0, "not_frames": 0}
    for at in range(0, FRAMES * FRAME_BYTES, FRAME_BYTES):
        status, _, _, _, network, seconds, nanoseconds = struct.unpack_from("IIIHHII", ring, at)
        if not status & TP_STATUS_USER:
            break
        now_ns = seconds * 1_000_000_000 + nanoseconds
        first_ns = now_ns if first_ns is None else first_ns
        ip = at + network
        tcp = ip + (ring[ip] & 15) * 4
        source, destination = struct.unpack_from(">HH", ring, tcp)
        frame = tcp + (ring[tcp + 12] >> 4) * 4
        if ring[frame : frame + 4] != MAGIC:
            odd["not_frames"] += 1
            continue
        work_us, sequence = struct.unpack_from("<IQ", ring, frame + 12)
        which, client = (replies, destination) if source == port else (asked, source)
        # Sent again by TCP: what came first counts.
        odd["repeated"] += (client, sequence) in which
        which.setdefault((client, sequence), (now_ns - first_ns, work_us == WORK_OF_TARGET))
    both = [(*asked[name], replies[name][0]) for name in asked if name in replies]
    return {
        "port": port,
        "unanswered": len(asked.keys() - replies.keys()),
        "unasked": len(replies.keys() - asked.keys()),
        **odd,
        "verifying": sum(not is_work for _, is_work, _ in both),
        "exchanges_ns": sorted((asked_ns, reply_ns) for asked_ns, is_work, reply_ns in both if is_work),
    }


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def percentile(ordered, share):
    # As HdrHistogram has it: the least value that so many do not exceed.
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def on_the_wire(watched, result):
    """Latencies of the window in nanoseconds, from where brink's clock starts, and how late requests were."""
    exchanges, asked = watched["exchanges_ns"], result["case"]["load"]
    workload, warmup_ns = asked["workload"], asked["warmup_ns"]
    if workload["kind"] != "open":
        begin_ns = exchanges[0][0] + warmup_ns
        return sorted(reply - sent for sent, reply in exchanges if sent >= begin_ns), None
    step_ns = 1e9 / workload["rate_per_s"]
    begin_ns = min(sent - k * step_ns for k, (sent, _) in enumerate(exchanges))
    due = [begin_ns + k * step_ns for k in range(len(exchanges))]
    window = range(round(warmup_ns / step_ns), len(exchanges))
    return (
        sorted(exchanges[k][1] - due[k] for k in window),
        sorted(exchanges[k][0] - due[k] for k in window),
    )


def compared(watched, result, shift_us=0.0):
    """What both say of one run, and what is wrong with it. Without any loss both count the same."""
    wrong, lost = [], watched["lost"]
    exchanges, recorded, asked = len(watched["exchanges_ns"]), result["latency_ns"], result["case"]["load"]
    replies = result["usage"]["client"][-1]["requests"]
    lost_share = lost / max(1, watched["packets"])
    about = {
        "from": recorded["from"],
        "rate_per_s": result["requests"]["per_s"],
        "connections": result["connections"]["opened"],
        "replies": {"recorded": replies, "wire": exchanges},
        # Before the run brink looks whether the target is there, by one exchange of that kind.
        "verifying": {"recorded": result["connections"]["opened"] + 1, "wire": watched["verifying"]},
        "window": recorded["count"],
        "packets": watched["packets"],
        "lost": lost,
        "wrong": wrong,
    }
    if lost_share >= LOST_SHARE_MAX:
        wrong.append(f"not comparable: the witness lost {lost} of {watched['packets']} packets")
        return about
    for what in ("replies", "verifying"):
        sides = about[what]
        if not sides["recorded"] - lost <= sides["wire"] <= sides["recorded"]:
            wrong.append(f"{what}: brink counted {sides['recorded']}, {sides['wire']} were on the wire, {lost} packets lost")
    for what in ("unanswered", "unasked"):
        if watched[what] > lost:
            wrong.append(f"{watched[what]} {what} on the wire, {lost} packets lost")
    if watched["not_frames"]:
        wrong.append(f"{watched['not_frames']} packets begin with something else than a frame")
    if not exchanges or (recorded["from"] == "due" and (lost or recorded["max"] >= asked["timeout_ns"])):
        # What the window's end left unsent was due last, and leaves no gap in the schedule; what waited too long does.
        wrong.append("not comparable: the schedule is only known where every request was sent and seen")
        return about
    latencies, late = on_the_wire(watched, result)
    apart = {}
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
        wire_us, recorded_us = percentile(latencies, share) / 1e3, recorded[name] / 1e3 + shift_us
        about[name] = {"recorded_us": recorded_us, "wire_us": wire_us, "apart_us": recorded_us - wire_us}
        apart[name] = recorded_us - wire_us
    if late:
        lag = result["schedule_lag_ns"]
        about["schedule_lag"] = {
            name: {"recorded_us": lag[name] / 1e3, "wire_us": percentile(late, share) / 1e3}
            for name, share in (("p50", 0.5), ("p99", 0.99))
        }
    apart_us_max = APART_US_MAX + min(about["p50"]["wire_us"], MORE_US_MAX)
    if not -BELOW_US_MAX <= apart["p50"] <= apart_us_max:
        wrong.append(f"p50: {apart['p50']:+.1f} us apart, at most -{BELOW_US_MAX:g} to +{apart_us_max:.1f} asked")
    return about


def show(about):
    print(
        f"    from {about['from']}, {about['rate_per_s']:.0f}/s over {about['connections']}:"
        f" {about['replies']['recorded']} replies recorded, {about['replies']['wire']} on the wire, {about['lost']} of {about['packets']} packets lost"
    )
    for name in ("p50", "p90", "p99"):
        if name in about:
            both = about[name]
            print(
                f"    {name}: recorded {both['recorded_us']:.1f} us, on the wire {both['wire_us']:.1f} us,"
                f" {both['apart_us']:+.1f} us"
            )
    for name, both in about.get("schedule_lag", {}).items():
        print(f"    schedule lag {name}: recorded {both['recorded_us']:.1f} us, on the wire {both['wire_us']:.1f} us")
    for why in about["wrong"]:
        print(f"    wrong: {why}")


def compare(watched, result, shift_us="0"):
    about = compared(load(watched), load(result), float(shift_us))
    show(about)
    return 1 if about["wrong"] else 0


def selftest(watched, result):
    """A comparison that cannot fail shows nothing: what was recorded is moved, and a reply is left out."""
    watched, result = load(watched), load(result)
    for shift_us in (200.0, -200.0):
        if not any(why.startswith("p50:") for why in compared(watched, result, shift_us)["wrong"]):
            print(f"    a shift of {shift_us:+g} us goes unnoticed")
            return 1
    fewer = {**watched, "exchanges_ns": watched["exchanges_ns"][:-1]}
    if not any(why.startswith("replies:") for why in compared(fewer, result)["wrong"]):
        print("    a reply that nobody saw goes unnoticed")
        return 1
    if "not comparable" not in str(compared({**watched, "lost": watched["packets"]}, result)["wrong"]):
        print("    a witness that lost half is believed")
        return 1
    return 0


def report(folder):
    lags, runs = [], []
    for path in sorted(glob.glob(os.path.join(folder, "*.lag.json"))):
        result = load(path)
        lag = {name: result["schedule_lag_ns"][name] for name in ("p50", "p99", "max")}
        # What else ran is why a lag is long, where it is.
        lags.append({**named(path), **lag, "per_s": result["requests"]["per_s"], "reasons": result["validity"]["reasons"]})
    for path in sorted(glob.glob(os.path.join(folder, "*.watched.json"))):
        runs.append({**named(path), **compared(load(path), load(path.replace(".watched.", ".result.")))})
    for one_by_one in (lags, runs):
        one_by_one.sort(key=lambda run: list(HOW).index(run["how"]))
    kept = {"lag_ns_p99": {}, "p50_apart_us": {}}
    for how in sorted({lag["how"] for lag in lags}):
        kept["lag_ns_p99"][how] = statistics.median(lag["p99"] for lag in lags if lag["how"] == how)
    for how, name in sorted({(run["how"], run["name"]) for run in runs}):
        apart = [run["p50"]["apart_us"] for run in runs if (run["how"], run["name"]) == (how, name) and "p50" in run]
        kept["p50_apart_us"][f"{how} {name}"] = statistics.median(apart) if apart else None
    summary = {
        "schema": "brink.accuracy/2",
        "asked": {"lag_ns_p99_max": LAG_NS_P99_MAX, "p50_apart_us_max": APART_US_MAX},
        "medians": kept,
        "lag_ns": lags,
        "witness": runs,
        "kernel": os.uname().release,
        "load_average": os.getloadavg()[0],
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    text = "\n".join(lines_of(summary)) + "\n"
    with open(os.path.join(folder, "accuracy.json"), "w", encoding="utf-8") as file:
        json.dump(summary, file, indent=2)
        file.write("\n")
    with open(os.path.join(folder, "accuracy.md"), "w", encoding="utf-8") as file:
        file.write(text)
    print(text, end="")
    return 0 if is_kept(summary) else 1


def named(path):
    how, name = os.path.basename(path).split(".")[:2]
    return {"how": how, "name": name}


def is_kept(summary):
    """What is asked is asked of a client that does not sleep: how long a CPU takes to wake up is the machine's own."""
    medians = summary["medians"]
    # Where the client had to sleep, of CPUs that do not.
    how = "polling" if "polling" in medians["lag_ns_p99"] else "awake"
    apart = [us for name, us in medians["p50_apart_us"].items() if name.startswith(how)]
    lag_ns = medians["lag_ns_p99"].get(how)
    others = [why for run in summary["witness"] for why in run["wrong"] if not why.startswith("p50:")]
    return (
        lag_ns is not None and lag_ns < LAG_NS_P99_MAX
        and apart and all(us is not None and abs(us) <= APART_US_MAX for us in apart)
        and not others
    )


def verdict(is_so, bound):
    return f"{'kept' if is_so else 'MISSED'}: {bound}"


def lines_of(summary):
    yield "| schedule lag, us | requests/s | p50 | p99 | max | asked of p99 |"
    yield "|---|--:|--:|--:|--:|---|"
    for lag in summary["lag_ns"]:
        yield (
            f"| {HOW[lag['how']]} | {lag['per_s']:,.0f} | {lag['p50'] / 1e3:.1f} | {lag['p99'] / 1e3:.1f} "
            f"| {lag['max'] / 1e3:.1f} | {verdict(lag['p99'] < LAG_NS_P99_MAX, f'< {LAG_NS_P99_MAX / 1e3:g} us')} |"
        )
    yield ""
    yield "| recorded / on the wire, us | replies | packets lost | p50 | apart | p99 | apart | lag p99 | asked of p50 |"
    yield "|---|--:|--:|--:|--:|--:|--:|--:|---|"
    for run in summary["witness"]:
        counts = f"{run['replies']['recorded']} / {run['replies']['wire']} | {run['lost']}"
        if "p50" not in run:
            yield f"| {HOW[run['how']]}, {run['name']} | {counts} | | | | | | {'; '.join(run['wrong'])} |"
            continue
        p50, p99, lag = run["p50"], run["p99"], run.get("schedule_lag", {}).get("p99")
        yield (
            f"| {HOW[run['how']]}, {run['name']}, from {run['from']} | {counts} "
            f"| {p50['recorded_us']:.1f} / {p50['wire_us']:.1f} | {p50['apart_us']:+.1f} "
            f"| {p99['recorded_us']:.1f} / {p99['wire_us']:.1f} | {p99['apart_us']:+.1f} "
            f"| {'{recorded_us:.1f} / {wire_us:.1f}'.format(**lag) if lag else '-'} "
            f"| {verdict(abs(p50['apart_us']) <= APART_US_MAX, f'within {APART_US_MAX:g} us')} |"
        )
    yield ""
    yield f"Linux {summary['kernel']}, {summary['at']}, load average {summary['load_average']:.2f}."
    for run in summary["witness"]:
        yield from (f"- {HOW[run['how']]}, {run['name']}: {why}" for why in run["wrong"] if not why.startswith("p50:"))
    for lag in summary["lag_ns"]:
        yield from (f"- {HOW[lag['how']]}, {lag['name']}: {why}" for why in lag["reasons"])


if __name__ == "__main__":
    if sys.argv[1:2] == ["watch"]:
        watch(int(sys.argv[2]), sys.argv[3])
    else:
        sys.exit({"compare": compare, "selftest": selftest, "report": report}[sys.argv[1]](*sys.argv[2:]))
