"""What the drill `follow` needs: an independent reader of HdrHistogram logs, and terminals.

    follow.py hdr LOG RESULT...        the log's percentiles are those of the result files
    follow.py held SECONDS PROGRAM...  runs it on a terminal that is held (Ctrl-S) all the while
    follow.py resized PROGRAM...       runs it on a terminal that folds long lines and changes its width

Nothing but the standard library.
"""
import base64
import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
import zlib


# ---- the log -------------------------------------------------------------------------------------------------------

def counts_of(encoded):
    """Decodes a compressed V2 histogram (HdrHistogram, EncodableHistogram): (value, count), values as the highest that
    the bucket stands for."""
    data = base64.b64decode(encoded)
    cookie, length = struct.unpack(">ii", data[:8])
    assert cookie & ~0xF0 == 0x1C849304, hex(cookie)
    raw = zlib.decompress(data[8:8 + length])
    cookie, payload, offset, digits, low, _high, _ratio = struct.unpack(">iiiiqqd", raw[:40])
    assert cookie & ~0xF0 == 0x1C849303 and offset == 0, hex(cookie)
    sub_log = (2 * 10 ** digits - 1).bit_length()
    unit_log = max(low, 1).bit_length() - 1
    half_log, half = sub_log - 1, 1 << (sub_log - 1)

    def value(index):
        bucket = (index >> half_log) - 1
        sub = (index & (half - 1)) + half
        if bucket < 0:
            sub -= half
            bucket = 0
        return (sub << (bucket + unit_log)) + (1 << (bucket + unit_log)) - 1

    at, index, seen = 40, 0, []
    while at < 40 + payload:
        shift = number = 0
        for k in range(9):
            byte = raw[at]
            at += 1
            number |= (byte if k == 8 else byte & 0x7F) << shift
            shift += 7
            if k == 8 or byte < 0x80:
                break
        number = (number >> 1) ^ -(number & 1)
        if number < 0:
            index -= number
        else:
            if number:
                seen.append((value(index), number))
            index += 1
    return seen


def quantile(seen, q):
    total = sum(count for _, count in seen)
    rank, passed = max(1, -(-total * q // 1)), 0
    for value, count in seen:
        passed += count
        if passed >= rank:
            return value
    raise AssertionError("no values")


def hdr(log, *results):
    lines = {}
    for line in open(log):
        if line.startswith("Tag="):
            tag, start, length, longest, encoded = line.strip().split(",")
            lines[tag[4:]] = (float(start), float(length), float(longest), counts_of(encoded))
        else:
            assert line.startswith("#") or line.startswith('"'), line
    assert len(lines) == len(results), (list(lines), results)
    for path in results:
        result = json.load(open(path))
        latency = result["latency_ns"]
        start, length, longest, seen = lines[result["case"]["name"]]
        assert sum(count for _, count in seen) == latency["count"]
        for name, q in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)):
            assert quantile(seen, q) == latency[name], (path, name, quantile(seen, q), latency[name])
        assert abs(longest - latency["max"] / 1e6) < 0.002 and start >= 0, (longest, latency["max"])
        assert abs(length - result["requests"]["window_s"]) < 0.002
    print(f"{len(lines)} lines agree with their results")


# ---- terminals -----------------------------------------------------------------------------------------------------

def terminal(rows, columns):
    outer, inner = pty.openpty()
    resize(inner, rows, columns)
    return outer, inner


def resize(inner, rows, columns):
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def start(program, inner):
    env = {**os.environ, "TERM": "xterm-256color"}
    for name in ("XTERM_VERSION", "STY"):
        env.pop(name, None)
    return subprocess.Popen(program, stdin=inner, stdout=subprocess.DEVNULL, stderr=inner, env=env, start_new_session=True)


def held(seconds, *program):
    """Output is stopped once the program has drawn something; nobody reads on from then. It has to end all the same."""
    outer, inner = terminal(24, 80)
    process = start(program, inner)
    try:
        seen = b""
        until = time.monotonic() + 20
        while b"window" not in seen and time.monotonic() < until:
            if select.select([outer], [], [], 0.1)[0]:
                seen += os.read(outer, 4096)
        assert b"window" in seen, seen[-200:]
        termios.tcflow(inner, termios.TCOOFF)
        # Last words after the run wait for the terminal, as those of any program: the results are there by then.
        time.sleep(float(seconds))
        termios.tcflow(inner, termios.TCOON)
        until = time.monotonic() + 15
        while process.poll() is None and time.monotonic() < until:
            if select.select([outer], [], [], 0.1)[0]:
                os.read(outer, 4096)
        assert process.poll() in (0, 5), process.poll()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


class Screen:
    """A terminal that folds a line that is longer than it is wide, and folds anew when its width changes: rows are
    (text, whether it goes on in the next)."""

    def __init__(self, columns):
        self.columns, self.rows, self.row, self.column = columns, [""], 0, 0
        self.goes_on = [False]

    def feed(self, text):
        for token in re.findall(r"\x1b\[[0-9]*[A-Za-z]|\r|\n|[^\x1b\r\n]", text):
            if token == "\r":
                self.column = 0
            elif token == "\n":
                self.down()
            elif token.startswith("\x1b["):
                self.command(int(token[2:-1] or 0), token[-1])
            else:
                self.put(token)

    def down(self):
        self.row += 1
        if self.row == len(self.rows):
            self.rows.append("")
            self.goes_on.append(False)

    def command(self, number, letter):
        if letter == "A":
            self.row = max(0, self.row - max(number, 1))
        elif letter == "K":
            self.rows[self.row] = "" if number == 2 else self.rows[self.row][:self.column]
            self.goes_on[self.row] = False
        elif letter == "J":
            self.rows[self.row] = self.rows[self.row][:self.column]
            del self.rows[self.row + 1:], self.goes_on[self.row + 1:]
            self.goes_on[self.row] = False
        else:
            raise AssertionError(f"not known here: {letter}")

    def put(self, character):
        if self.column >= self.columns:
            self.goes_on[self.row] = True
            self.down()
            self.column = 0
        line = self.rows[self.row].ljust(self.column)
        self.rows[self.row] = line[:self.column] + character + line[self.column + 1:]
        self.column += 1

    def fold(self, columns):
        """Only at the beginning of a line, where the cursor is between two drawings."""
        assert self.column == 0
        lines, cursor = [], None
        for at, text in enumerate(self.rows):
            if at == self.row:
                cursor = len(lines)
            if at > 0 and self.goes_on[at - 1]:
                lines[-1] += text
            else:
                lines.append(text)
        self.rows, self.goes_on = [], []
        for at, line in enumerate(lines):
            if at == cursor:
                self.row = len(self.rows)
            parts = [line[k:k + columns] for k in range(0, len(line), columns)] or [""]
            self.rows += parts
            self.goes_on += [True] * (len(parts) - 1) + [False]
        self.columns = columns


def resized(*program):
    """Nothing of the progress may be left at the end, whatever became of the width."""
    widths = [100, 60, 31, 90, 45, 20, 120]
    outer, inner = terminal(24, widths[0])
    process = start(program, inner)
    screen, at, changed, drawn = Screen(widths[0]), 0, time.monotonic(), 0
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            ready = select.select([outer], [], [], 0.02)[0]
            if ready:
                try:
                    text = os.read(outer, 65536)
                except OSError:
                    break
                while select.select([outer], [], [], 0.01)[0]:
                    text += os.read(outer, 65536)
                screen.feed(text.decode())
                drawn += text.count(b"\x1b[J")
            elif process.poll() is not None:
                break
            elif time.monotonic() - changed > 0.9 and screen.column == 0 and at + 1 < len(widths):
                at, changed = at + 1, time.monotonic()
                resize(inner, 24, widths[at])
                screen.fold(widths[at])
        assert process.wait(10) in (0, 5), process.returncode
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert drawn > 10 and at >= 3, (drawn, at)
    text = "".join(row if goes_on else row + "\n" for row, goes_on in zip(screen.rows, screen.goes_on))
    left = [line for line in text.split("\n") if line and not line.startswith("brink: ")]
    assert not left, left
    print(f"{drawn} drawings over {at + 1} widths left {text.count('brink: ')} lines that were said")


if __name__ == "__main__":
    {"hdr": hdr, "held": held, "resized": resized}[sys.argv[1]](*sys.argv[2:])
