"""Keeps connecting to a full server, from one thread, as fast as it refuses.

    flood.py IP:PORT SECONDS

Prints how many connections it made. A connection counts as refused when the server closes it.
"""

import selectors
import socket
import sys
import time

ip, port = sys.argv[1].rsplit(":", 1)
end = time.monotonic() + float(sys.argv[2])
selector = selectors.DefaultSelector()
made = refused = 0
AT_ONCE = 100


def connect():
    s = socket.socket()
    s.setblocking(False)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    s.connect_ex((ip, int(port)))
    selector.register(s, selectors.EVENT_READ)


for _ in range(AT_ONCE):
    connect()
    made += 1
while time.monotonic() < end:
    for key, _ in selector.select(0.05):
        selector.unregister(key.fileobj)
        key.fileobj.close()
        refused += 1
        connect()
        made += 1
print(f'{{"made": {made}, "refused": {refused}}}')
