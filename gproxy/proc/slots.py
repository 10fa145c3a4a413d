"""The listening sockets, by what they listen on. Their owner opens and closes them; planes only serve them.

A slot outlives the plane that reads it: the queue of a listening socket lives in the socket, so that handing it to
another plane, in this process or in another, loses nothing. Each endpoint has as many slots as there were workers when
it was opened, bound to the same address (SO_REUSEPORT): the kernel spreads connections over them, and a UDP client's
datagrams always come to the same one. No socket is ever added to such a group, since that would move flows.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket as consts
from _socket import socket
from collections.abc import Iterable, Sequence
from pathlib import Path

from gproxy.base.errors import ConfigError
from gproxy.net.bind import Endpoint
from gproxy.proc.notify import Notifier


class Slots:
    """All listening sockets."""

    def __init__(self) -> None:
        self._sockets: dict[Endpoint, list[socket]] = {}
        self._spare: list[tuple[str, socket]] = []  # handed over by the service manager, and not asked for yet
        self._stored: set[str] = set()

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
            slots = self._sockets[endpoint] = self._take_spare(endpoint)
            if slots:
                continue
            try:
                for _ in range(1 if endpoint.is_unix else count):
                    slots.append(endpoint.open(shared=count > 1))
            except OSError as error:
                failures.append(f"can't listen on {endpoint}: {error.strerror or error}")
        if failures:
            self.close(opened)
            raise ConfigError("\n".join(failures))
        return opened

    def inherit(self, descriptors: Iterable[tuple[str, int]]) -> None:
        """Use these named descriptors, of a service manager, in place of new sockets where they fit."""
        for name, fd in descriptors:
            sock = socket(fileno=fd)
            sock.setblocking(False)
            self._spare.append((name, sock))

    def _take_spare(self, endpoint: Endpoint) -> list[socket]:
        """Our own from an earlier life by their names, or one that the manager has opened at the same address."""
        prefix = name_of(endpoint) + "."
        ours = [(name, sock) for name, sock in self._spare if name.startswith(prefix)]
        ours.sort(key=lambda each: int(each[0].removeprefix(prefix)))
        found = ours or [each for each in self._spare if _listens_at(each[1], endpoint)][:1]
        self._spare = [each for each in self._spare if each not in found]
        return [sock for _, sock in found]

    def store(self, notifier: Notifier) -> None:
        """Let the service manager keep copies of what is open now, and of nothing else."""
        self._drop_spare()
        names = {
            f"{name_of(endpoint)}.{slot}": sock
            for endpoint, slots in self._sockets.items()
            for slot, sock in enumerate(slots)
        }
        for gone in self._stored - names.keys():
            notifier.remove(gone)
        for name in names.keys() - self._stored:
            notifier.store(name, [names[name].fileno()])
        self._stored = set(names)

    def _drop_spare(self) -> None:
        for _, sock in self._spare:
            sock.close()
        self._spare.clear()

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
            slots = self._sockets.pop(endpoint, [])
            for sock in slots:
                sock.close()
            # What could not be opened may be the socket of somebody who is well alive.
            if slots and isinstance(endpoint.host, str) and not endpoint.host.startswith("\0"):
                with contextlib.suppress(OSError):
                    Path(endpoint.host).unlink()


def name_of(endpoint: Endpoint) -> str:
    """A name that only an equal endpoint has, in the characters that systemd allows."""
    digest = hashlib.sha256(repr(endpoint).encode()).hexdigest()[:16]
    return f"gproxy-{endpoint.kind}-{endpoint.port}-{digest}"


def _listens_at(sock: socket, endpoint: Endpoint) -> bool:
    kind = consts.SOCK_STREAM if endpoint.kind == "stream" else consts.SOCK_DGRAM
    if sock.type & ~(consts.SOCK_NONBLOCK | consts.SOCK_CLOEXEC) != kind:
        return False
    name = sock.getsockname()
    if isinstance(endpoint.host, str):
        return (name.decode() if isinstance(name, bytes) else name) == endpoint.host
    return isinstance(name, tuple) and name[:2] == (str(endpoint.host), endpoint.port)


def share(slots: int, worker: int, workers: int, *, stream: bool) -> list[int]:
    """Which slots a worker serves: those with its number modulo the workers, so that none is left unread.

    With more workers than slots, several accept on one stream slot; a packet slot has one reader, or its flows would be
    torn apart.
    """
    if stream and worker >= slots > 0:
        return [worker % slots]
    return list(range(worker, slots, workers))
