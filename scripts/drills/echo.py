"""A foreign echo server: it knows nothing of brink, and sends back what it gets.

    echo.py [--listen IP:PORT] [--wrong] [--lie] [--close-after N]

--wrong sends other bytes back; --lie says in each frame that it waited as it was asked, and does not; --close-after closes all connections, and the listener, after N reads.
"""

import argparse
import asyncio
import json
import os

parser = argparse.ArgumentParser()
parser.add_argument("--listen", default="127.0.0.1:0")
parser.add_argument("--wrong", action="store_true")
parser.add_argument("--lie", action="store_true")
parser.add_argument("--close-after", type=int, default=0)
options = parser.parse_args()
reads = 0


def lie(data):
    """Flag 1 at offset 5: the wait at offset 32 was filled; what was asked is at 24. One frame is one read here."""
    return data[:5] + b"\1" + data[6:32] + data[24:32] + data[40:]


async def serve(reader, writer):
    global reads
    try:
        while data := await reader.read(65536):
            reads += 1
            if options.close_after and reads > options.close_after:
                os._exit(0)
            if options.wrong:
                data = bytes(byte ^ 0x55 for byte in data)
            if options.lie:
                data = lie(data)
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def main():
    ip, port = options.listen.rsplit(":", 1)
    server = await asyncio.start_server(serve, ip, int(port), backlog=4096)
    ip, port = server.sockets[0].getsockname()[:2]
    print(json.dumps({"address": f"{ip}:{port}", "pid": os.getpid()}), flush=True)
    await server.serve_forever()


asyncio.run(main())
