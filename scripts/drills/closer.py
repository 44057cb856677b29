"""Opens connections, one after another, and closes each by FIN before the other end does: TIME_WAIT is left behind.

    closer.py SOURCE IP:PORT COUNT
"""

import socket
import sys

# ip(7); not in the socket module.
IP_BIND_ADDRESS_NO_PORT = 24
ip, port = sys.argv[2].rsplit(":", 1)
for _ in range(int(sys.argv[3])):
    s = socket.socket()
    # The kernel chooses the port when it connects, as for most programs: one that was bound before that stays closed to
    # connects from other addresses, too, until it is out of TIME_WAIT.
    s.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    s.bind((sys.argv[1], 0))
    s.connect((ip, int(port)))
    s.shutdown(socket.SHUT_WR)
    # Until the other end has closed, too: then it is in TIME_WAIT here.
    while s.recv(4096):
        pass
    s.close()
