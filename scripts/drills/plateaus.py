"""Memory of a server from outside, without brink, and whether brink's slopes agree.

    plateaus.py watch PID                  reads /proc/PID whenever its descriptors and its memory stand still, while somebody
                                           else opens connections to it; prints the slopes once they go, or on SIGTERM
    plateaus.py drive ADDRESS PID COUNT    opens COUNT connections itself, in ten steps; each says one frame and gets it back;
                                           prints the slopes
    plateaus.py agree NAME RESULT HOW=FILE ...
                                           holds the slopes of a result against others: a row, and ends with 1 if any of them
                                           is further off than 5%
"""

import json
import os
import signal
import socket
import sys
import time

sys.path[:0] = [os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), part) for part in ("claims", "targets")]

import frame  # noqa: E402
from memory import KERNEL_STACK, of_process_and_machine, slopes  # noqa: E402
from process import raise_nofile  # noqa: E402

CONNECTIONS_MIN = 500
STEPS = 10
PAYLOAD = bytes(64)
# Below this, two looks at memory are the same.
STILL_BYTES = 16 * 1024

OFF_MAX = 0.05
PLATEAUS_MIN = 5
# What slopes may differ by however small they are, in bytes over all connections: what counts as standing still; and of kernel
# stacks, which are counted for the whole machine, those of eight threads of other programs.
FLOOR_BYTES = {KERNEL_STACK: 8 * 16 * 1024}
# In another run other programs had other threads: kernel stacks are compared if the server has any to speak of.
OTHER_RUN = "alone"
KERNEL_STACK_MIN = 1024


def descriptors(pid):
    path = "/proc/%d/fd" % pid
    return os.stat(path).st_size or len(os.listdir(path))  # the size tells since Linux 6.2


def say(plateaus):
    print(json.dumps(dict(slopes(list(plateaus.items())), plateaus=list(plateaus))), flush=True)


def watch(pid):
    rest = descriptors(pid)
    plateaus = {}

    def end(*_):
        say(plateaus)
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    print("watching", flush=True)
    before = None
    still = 0
    while True:
        live = descriptors(pid) - rest
        if plateaus and live < max(plateaus):
            end()
        memory = of_process_and_machine(pid)
        now = (live, memory["user_bytes"] // STILL_BYTES, memory["page_table_bytes"] // STILL_BYTES)
        still = still + 1 if now == before else 0
        before = now
        if still >= 2 and live >= CONNECTIONS_MIN:
            plateaus[live] = memory
        time.sleep(0.004)


def drive(address, pid, count):
    host, port = address.rsplit(":", 1)
    request = frame.HEADER.pack(frame.VERSION, 0, frame.HEADER_LEN, len(PAYLOAD), 0, 1, 0)
    request = frame.MAGIC + request[4:] + PAYLOAD
    raise_nofile()
    connections, plateaus = [], {}
    for step in range(1, STEPS + 1):
        while len(connections) < count * step // STEPS:
            connection = socket.create_connection((host, int(port)), timeout=20)
            connections.append(connection)
            connection.sendall(request)
            reply = b""
            while len(reply) < len(request):
                more = connection.recv(len(request) - len(reply))
                if not more:
                    sys.exit("plateaus.py: connection %d was closed" % len(connections))
                reply += more
            if reply[frame.HEADER_LEN:] != PAYLOAD:
                sys.exit("plateaus.py: connection %d: other bytes came back" % len(connections))
        plateaus[len(connections)] = settled(pid)
    say(plateaus)
    for connection in connections:  # by RST, so that nothing is left in TIME_WAIT
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()


def settled(pid):
    end = time.monotonic() + 5
    before = of_process_and_machine(pid)
    while True:
        time.sleep(0.02)
        memory = of_process_and_machine(pid)
        if abs(memory["user_bytes"] - before["user_bytes"]) < STILL_BYTES or time.monotonic() > end:
            return memory
        before = memory


def agree(name, result, others):
    """Prints a row. Returns whether all agree."""
    with open(result, encoding="utf-8") as file:
        target = json.load(file)["memory_per_connection"]["target"]
    wrong, words = [], []
    for measure in ("user_bytes", "virtual_bytes", "page_table_bytes", KERNEL_STACK):
        ours = target[measure]["slope"]
        words.append("%s %.1f B" % (measure.replace("_bytes", ""), ours))
        for how, other in others:
            span = max(other["plateaus"]) - min(other["plateaus"])
            theirs = other[measure]
            if measure == KERNEL_STACK and how.startswith(OTHER_RUN) and max(ours, theirs) < KERNEL_STACK_MIN:
                words[-1] += ", %s %.1f (not compared: other threads of the machine)" % (how, theirs)
                continue
            off = ours - theirs
            words[-1] += ", %s %.1f (%s)" % (how, theirs, "%+.2f%%" % (100 * off / theirs) if theirs else "none")
            floor = FLOOR_BYTES.get(measure, STILL_BYTES) / span
            if abs(off) > max(floor, OFF_MAX * min(abs(ours), abs(theirs))):
                wrong.append("%s is off by %.1f B from %s" % (measure, off, how))
    for how, other in others:
        if len(other["plateaus"]) < PLATEAUS_MIN:
            wrong.append("%s saw %d plateaus only: %s" % (how, len(other["plateaus"]), other["plateaus"]))
    print("row: %s: %s%s" % (name, "; ".join(words), "".join(" WRONG: " + why for why in wrong)))
    return not wrong


def last_line(path):
    with open(path, encoding="utf-8") as file:
        return json.loads(file.read().strip().split("\n")[-1])


def main():
    what, *words = sys.argv[1:]
    if what == "watch":
        watch(int(words[0]))
    elif what == "drive":
        drive(words[0], int(words[1]), int(words[2]))
    else:
        others = [word.split("=", 1) for word in words[2:]]
        sys.exit(0 if agree(words[0], words[1], [(how, last_line(path)) for how, path in others]) else 1)


main()
