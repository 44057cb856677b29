"""Sends a target what no client should. Prints what came of it as JSON.

    abuse.py IP:PORT
"""

import json
import os
import socket
import struct
import sys
import time

ip, port = sys.argv[1].rsplit(":", 1)
OF_TARGET = 2**64 - 1


def frame(payload_len=16, magic=b"BRNK", version=1, header_len=40, work=0, delay=0, payload=None):
    head = struct.pack("<4sBBHIIQQQ", magic, version, 0, header_len, payload_len, work, 7, delay, 0)
    return head + (b"x" * payload_len if payload is None else payload)


def connect():
    s = socket.create_connection((ip, int(port)), timeout=5)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def closed(data):
    """Sends, and tells whether the target closes the connection."""
    with connect() as s:
        s.settimeout(5)
        try:
            s.sendall(data)
            while s.recv(65536):
                pass
            return True
        except ConnectionError:
            return True
        except TimeoutError:
            return False


bad = {
    "oversize": frame(payload_len=2**32 - 1, payload=b""),
    "just_oversize": frame(payload_len=2**20 + 1, payload=b""),
    "magic": frame(magic=b"HTTP"),
    "version": frame(version=9),
    "header_len": frame(header_len=8),
    "delay": frame(delay=OF_TARGET - 1),
    "work": frame(work=2**32 - 2),
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + b" " * 40,
    "garbage": os.urandom(100_000),
    "good_then_bad": frame() + os.urandom(4096),
}
found = {"closed": {name: closed(data) for name, data in bad.items()}}

# They never send; they stay for the whole abuse.
mute = [connect() for _ in range(200)]
# Half a header, half a payload, and away, by FIN and by RST.
for data in (frame()[:7], frame()[:50]):
    for reset in (False, True):
        s = connect()
        s.sendall(data)
        if reset:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()

# One byte at a time is slow, but a frame.
slow = connect()
whole = frame()
for byte in whole:
    slow.sendall(bytes([byte]))
    time.sleep(0.005)
answer = b""
while len(answer) < len(whole) and (part := slow.recv(4096)):
    answer += part
found["slow_echoed"] = answer[:4] == b"BRNK" and answer[40:] == whole[40:]

# Half-open: the writing end is shut, the answer is still wanted.
half = connect()
half.sendall(frame())
half.shutdown(socket.SHUT_WR)
answer = b""
while part := half.recv(4096):
    answer += part
found["half_open_echoed"] = len(answer) == len(whole)

# It asks for much and reads nothing: the target must not keep it all in memory.
greedy = connect()
greedy.settimeout(1)
big = frame(payload_len=2**20)
sent = 0
try:
    for _ in range(64):
        greedy.sendall(big)
        sent += len(big)
except TimeoutError:
    pass
found["greedy_sent_bytes"] = sent
found["mute_alive"] = len(mute)
found["bad"] = len(bad)
print(json.dumps(found), flush=True)
# Those who never send stay until they are told to go.
sys.stdin.readline() if not sys.stdin.isatty() else None
