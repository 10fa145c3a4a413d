"""The bulk server's operations."""

from __future__ import annotations

import socket

from tests.bench import origin
from tests.bench.origin import Origin


def test_parts_leave_the_connection_open() -> None:
    servers = Origin()
    try:
        with (
            socket.create_connection(("127.0.0.1", servers.ports.bulk), 10) as sock,
            sock.makefile("rb") as stream,
        ):
            for size in (5, 100_000):
                sock.sendall(origin.HEAD.pack(origin.PART, size))
                assert stream.read(size) == bytes(size)
            sock.sendall(origin.HEAD.pack(origin.UPLOAD, 3) + b"abc")
            assert stream.read() == b"\x01"
    finally:
        servers.stop()
