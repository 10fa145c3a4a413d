"""The listening sockets, by what they listen on. Their owner opens and closes them; planes only serve them.

A slot outlives the plane that reads it: the queue of a listening socket lives in the socket, so that handing it to
another plane, in this process or in another, loses nothing. Each endpoint has as many slots as there were workers when
it was opened, bound to the same address (SO_REUSEPORT): the kernel spreads connections over them, and a UDP client's
datagrams always come to the same one. No socket is ever added to such a group, since that would move flows.
"""

from __future__ import annotations

import contextlib
from _socket import socket
from collections.abc import Iterable, Sequence
from pathlib import Path

from gproxy.base.errors import ConfigError
from gproxy.net.bind import Endpoint


class Slots:
    """All listening sockets."""

    def __init__(self) -> None:
        self._sockets: dict[Endpoint, list[socket]] = {}

    def open(self, endpoints: Iterable[Endpoint], count: int = 1) -> list[Endpoint]:
        """Open those that are not open yet, with `count` slots each; which they were.

        All or none: half a server never starts. Raises ConfigError that names all that failed.
        """
        opened: list[Endpoint] = []
        failures = []
        for endpoint in dict.fromkeys(endpoints):
            if endpoint in self._sockets:
                continue
            opened.append(endpoint)
            slots = self._sockets[endpoint] = []
            try:
                for _ in range(1 if endpoint.is_unix else count):
                    slots.append(endpoint.open(shared=count > 1))
            except OSError as error:
                failures.append(f"can't listen on {endpoint}: {error.strerror or error}")
        if failures:
            self.close(opened)
            raise ConfigError("\n".join(failures))
        return opened

    def adopt(self, endpoint: Endpoint, slots: Sequence[socket]) -> None:
        """Take over sockets that were opened before our time."""
        self._sockets[endpoint] = list(slots)

    def of(self, endpoint: Endpoint) -> Sequence[socket]:
        """The slots of an endpoint, in their order. Raises KeyError."""
        return self._sockets[endpoint]

    def endpoints(self) -> list[Endpoint]:
        """All that is open."""
        return list(self._sockets)

    def close(self, endpoints: Iterable[Endpoint] | None = None) -> None:
        """Close these, or all, and remove the files of unix sockets."""
        for endpoint in list(self._sockets if endpoints is None else endpoints):
            for sock in self._sockets.pop(endpoint, ()):
                sock.close()
            if isinstance(endpoint.host, str) and not endpoint.host.startswith("\0"):
                with contextlib.suppress(OSError):
                    Path(endpoint.host).unlink()


def share(slots: int, worker: int, workers: int, *, stream: bool) -> list[int]:
    """Which slots a worker serves: those with its number modulo the workers, so that none is left unread.

    With more workers than slots, several accept on one stream slot; a packet slot has one reader, or its flows would be
    torn apart.
    """
    if stream and worker >= slots > 0:
        return [worker % slots]
    return list(range(worker, slots, workers))
