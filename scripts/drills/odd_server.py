"""An echo server with one fault: it is slow to accept, or something happens to it at a count of connections.

    odd_server.py [--listen IP:PORT] [--backlog N] [--accept-per-s R] [--at N --do crash|stop|exit]

It is single-threaded and knows nothing of brink. The first line on stdout says where it listens.
"""

import argparse
import json
import os
import selectors
import signal
import socket
import time

parser = argparse.ArgumentParser()
parser.add_argument("--listen", default="127.0.0.1:0")
parser.add_argument("--backlog", type=int, default=4096)
parser.add_argument("--accept-per-s", type=float, default=0.0, help="at most so many; 0: as they come")
parser.add_argument("--at", type=int, default=0, help="connections at which it does what --do says")
parser.add_argument("--do", choices=("crash", "stop", "exit"), default="crash")
options = parser.parse_args()
SIGNALS = {"crash": signal.SIGSEGV, "stop": signal.SIGSTOP}

ip, port = options.listen.rsplit(":", 1)
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind((ip, int(port)))
listener.listen(options.backlog)
listener.setblocking(False)
selector = selectors.DefaultSelector()
selector.register(listener, selectors.EVENT_READ)
ip, port = listener.getsockname()
print(json.dumps({"address": f"{ip}:{port}", "control": None, "pid": os.getpid()}), flush=True)

held = 0
due = time.monotonic()


def accept():
    global held, due
    try:
        connection = listener.accept()[0]
    except OSError:
        return
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setblocking(False)
    selector.register(connection, selectors.EVENT_READ)
    held += 1
    if options.accept_per_s:
        due = max(due, time.monotonic() - 0.1) + 1 / options.accept_per_s
    if held == options.at:
        if options.do == "exit":
            os._exit(3)
        os.kill(os.getpid(), SIGNALS[options.do])


def echo(connection):
    global held
    try:
        data = connection.recv(65536)
        if data:
            connection.sendall(data)
            return
    except BlockingIOError:
        return
    except OSError:
        pass
    held -= 1
    selector.unregister(connection)
    connection.close()


listening = True
while True:
    wait_s = None if listening else max(0.0, due - time.monotonic())
    for key, _ in selector.select(wait_s):
        if key.fileobj is listener:
            accept()
        else:
            echo(key.fileobj)
    # Not looked at while nothing may be accepted: it would be readable all the time.
    may = due <= time.monotonic()
    if may != listening:
        if may:
            selector.register(listener, selectors.EVENT_READ)
        else:
            selector.unregister(listener)
        listening = may
