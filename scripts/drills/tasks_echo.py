"""An echo server that measures itself: an asyncio task for each connection, and what they cost by its own reading of /proc.

It knows nothing of brink, whose slopes the drill `slopes` holds against its own. As threads_echo.c, in Python: it says where it listens,
reads its memory whenever all open connections have been answered and none has come for some milliseconds, until the first goes, and
prints the slopes through these plateaus on SIGTERM.
"""

import asyncio
import json
import os
import signal
import sys

sys.path[:0] = [os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), part) for part in ("claims", "targets")]

from memory import of_process_and_machine, slopes  # noqa: E402
from process import raise_nofile  # noqa: E402

CONNECTIONS_MIN = 500
LOOK_S = 0.003
STILL_LOOKS = 3


class Server:
    def __init__(self):
        self.opened = self.answered = self.closed = 0
        self.plateaus = {}

    async def converse(self, reader, writer):
        self.opened += 1
        first = True
        try:
            while data := await reader.read(1024):
                writer.write(data)
                await writer.drain()
                self.answered += first
                first = False
        except ConnectionError:
            pass
        finally:
            self.answered += first
            self.closed += 1
            writer.close()

    async def look(self):
        before = still = 0
        while not (self.plateaus and self.opened - self.closed < max(self.plateaus)):
            live = self.opened - self.closed
            still = still + 1 if live == before and self.answered - self.closed == live else 0
            before = live
            if still >= STILL_LOOKS and live >= CONNECTIONS_MIN:
                self.plateaus[live] = of_process_and_machine()
            await asyncio.sleep(LOOK_S)

    def end(self):
        print(json.dumps(dict(slopes(list(self.plateaus.items())), plateaus=list(self.plateaus))), flush=True)
        os._exit(0)


async def main():
    state = Server()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, state.end)
    server = await asyncio.start_server(state.converse, "127.0.0.1", 0, backlog=4096)
    print(json.dumps({"address": "127.0.0.1:%d" % server.sockets[0].getsockname()[1], "pid": os.getpid()}), flush=True)
    await state.look()
    await server.serve_forever()


raise_nofile()
asyncio.run(main())
