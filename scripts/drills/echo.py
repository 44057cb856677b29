"""A foreign echo server: it knows nothing of brink, and sends back what it gets.

    echo.py [--listen IP:PORT] [--wrong] [--close-after N]

--wrong sends other bytes back; --close-after closes all connections, and the listener, after N reads.
"""

import argparse
import asyncio
import json
import os

parser = argparse.ArgumentParser()
parser.add_argument("--listen", default="127.0.0.1:0")
parser.add_argument("--wrong", action="store_true")
parser.add_argument("--close-after", type=int, default=0)
options = parser.parse_args()
reads = 0


async def serve(reader, writer):
    global reads
    try:
        while data := await reader.read(65536):
            reads += 1
            if options.close_after and reads > options.close_after:
                os._exit(0)
            writer.write(bytes(byte ^ 0x55 for byte in data) if options.wrong else data)
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
