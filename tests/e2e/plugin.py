"""A SIP003 plugin for tests: it inverts every bit, and listens as its options say (`server`: for clients).

With the option `fail` it says why and ends at once.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress

INVERTED = bytes(255 - octet for octet in range(256))
LOCAL = os.environ["SS_LOCAL_HOST"], int(os.environ["SS_LOCAL_PORT"])
REMOTE = os.environ["SS_REMOTE_HOST"], int(os.environ["SS_REMOTE_PORT"])
OPTIONS = os.environ.get("SS_PLUGIN_OPTIONS", "").split(";")


async def _move(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data.translate(INVERTED))
            await writer.drain()
        writer.write_eof()


async def main() -> None:
    here, there = (REMOTE, LOCAL) if "server" in OPTIONS else (LOCAL, REMOTE)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            to_reader, to_writer = await asyncio.open_connection(*there)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_move(reader, to_writer), _move(to_reader, writer))
        writer.close()
        to_writer.close()

    server = await asyncio.start_server(serve, *here)
    print("the plugin listens", flush=True)
    await server.serve_forever()


if "fail" in OPTIONS:
    sys.exit("the plugin does not want to")
asyncio.run(main())
