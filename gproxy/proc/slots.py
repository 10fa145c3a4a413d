"""The listening sockets, by what they listen on. Their owner opens and closes them; planes only serve them.

A slot outlives the plane that reads it: the queue of a listening socket lives in the socket, so that handing it to
another plane, in this process or in another, loses no connection.
"""

from __future__ import annotations

import contextlib
from _socket import socket
from collections.abc import Iterable
from pathlib import Path

from gproxy.base.errors import ConfigError
from gproxy.net.bind import Endpoint


class Slots:
    """All listening sockets of one configuration."""

    def __init__(self) -> None:
        self._sockets: dict[Endpoint, socket] = {}

    @classmethod
    def open(cls, endpoints: Iterable[Endpoint]) -> Slots:
        """Open every one, or none: half a server never starts. Raises ConfigError that names all that failed."""
        slots = cls()
        failures = []
        for endpoint in endpoints:
            try:
                slots._sockets[endpoint] = endpoint.open()
            except OSError as error:
                failures.append(f"can't listen on {endpoint}: {error.strerror or error}")
        if failures:
            slots.close()
            raise ConfigError("\n".join(failures))
        return slots

    @property
    def sockets(self) -> dict[Endpoint, socket]:
        """The sockets by endpoint."""
        return self._sockets

    def close(self) -> None:
        """Close them all, and remove the files of unix sockets."""
        for endpoint, sock in self._sockets.items():
            sock.close()
            if isinstance(endpoint.host, str) and not endpoint.host.startswith("\0"):
                with contextlib.suppress(OSError):
                    Path(endpoint.host).unlink()
        self._sockets.clear()
