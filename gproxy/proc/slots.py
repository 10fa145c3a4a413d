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
from collections.abc import Container, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from gproxy.base.errors import ConfigError
from gproxy.net.bind import Endpoint
from gproxy.proc.notify import Notifier

_OURS = "gproxy-"  # how our names begin

# tcpmux: reserved, and never used over UDP.
_NOBODY = 1


class Slots:
    """All listening sockets."""

    def __init__(self) -> None:
        self._sockets: dict[Endpoint, list[socket]] = {}
        self._spare: list[tuple[str, socket]] = []  # handed over by the service manager, and not asked for yet
        self._retired: set[int] = set()  # ports of datagrams that older planes may have copies of
        self._misnamed: list[str] = []  # names under which the service manager has copies of what now has others
        self.stored: set[str] = set()  # names of those that the service manager has copies of

    def open(self, endpoints: Iterable[Endpoint], count: int = 1, *, shared: bool = False) -> list[Endpoint]:
        """Open those that are not open yet, with `count` slots each; which they were.

        One with other options than what is open at its address gets the same sockets, so that nobody who waits in their
        queues is lost. All or none: half a server never starts. Raises ConfigError that names all that failed.
        """
        opened: list[Endpoint] = []
        failures = []
        wanted = dict.fromkeys(endpoints)
        for endpoint in wanted:
            if endpoint in self._sockets:
                continue
            opened.append(endpoint)
            slots = self._sockets[endpoint] = self._take_spare(endpoint) or self._inherited(endpoint, wanted)
            try:
                if slots:
                    _reshape(slots, endpoint)
                    continue
                if shared and not (endpoint.is_unix or self._is_ours(endpoint)):
                    endpoint.open().close()  # shared sockets would let us in beside another process that shares too
                bound = endpoint
                for _ in range(1 if endpoint.is_unix else count):
                    slots.append(bound.open(shared=shared))
                    if not (endpoint.is_unix or bound.port):  # port 0: the system has chosen one, for all slots
                        bound = replace(endpoint, port=slots[0].getsockname()[1])
            except OSError as error:
                failures.append(f"can't listen on {endpoint}: {error.strerror or error}")
        if failures:
            self.remove(opened)
            raise ConfigError("\n".join(failures))
        return opened

    def _inherited(self, endpoint: Endpoint, wanted: Container[Endpoint]) -> list[socket]:
        """The sockets of one that this one replaces; none if there is no such one."""
        for other, slots in self._sockets.items():
            if other not in wanted and endpoint.follows(other):
                return list(slots)
        return []

    def heir(self, endpoint: Endpoint, among: Sequence[Endpoint]) -> int | None:
        """Which of these has the same sockets as an endpoint that is open."""
        slots = self._sockets.get(endpoint, [])
        return next((index for index, other in enumerate(among) if slots and self._sockets.get(other) == slots), None)

    def _is_ours(self, endpoint: Endpoint) -> bool:
        """Whether its port is taken by ourselves, for an endpoint with other options, or by what still drains."""
        if endpoint.kind == "packet" and endpoint.port in self._retired:
            return True
        place = (endpoint.kind, endpoint.port)
        return any(slots and (other.kind, other.port) == place for other, slots in self._sockets.items())

    def inherit(self, descriptors: Iterable[tuple[str, int]]) -> None:
        """Use these named descriptors, of a service manager, in place of new sockets where they fit."""
        for name, fd in descriptors:
            sock = socket(fileno=fd)
            sock.setblocking(False)
            self._spare.append((name, sock))

    def _take_spare(self, endpoint: Endpoint) -> list[socket]:
        """Our own from an earlier life, which may have had other options, or one that the manager has opened there."""
        there = [each for each in self._spare if _listens_at(each[1], endpoint)]
        theirs = [each for each in there if not each[0].startswith(_OURS)]
        ours = []
        for name, sock in there:
            if not name.startswith(_OURS):
                continue
            if endpoint.is_settled(sock):
                ours.append((name, sock))
            else:
                with contextlib.suppress(OSError):  # it makes room
                    _retire(sock, endpoint)
        ours.sort(key=lambda each: int(each[0].rpartition(".")[2]))
        found = ours or theirs[:1]
        self._spare = [each for each in self._spare if each not in found]
        names = {f"{name_of(endpoint)}.{number}" for number in range(len(found))}
        self._misnamed += [name for name, _ in found if name not in names]
        return [sock for _, sock in found]

    def store(self, notifier: Notifier) -> None:
        """Let the service manager keep copies of what is open now, and of nothing else."""
        # Nobody serves what is spare, yet clients would queue as long as there is a copy.
        for name in (*(name for name, _ in self._spare), *self._misnamed):
            notifier.remove(name)
        self._drop_spare()
        self._misnamed.clear()
        if not notifier.managed:
            return
        names = {
            f"{name_of(endpoint)}.{slot}": sock
            for endpoint, slots in self._sockets.items()
            for slot, sock in enumerate(slots)
        }
        for gone in self.stored - names.keys():
            notifier.remove(gone)
        for name in names.keys() - self.stored:
            notifier.store(name, [names[name].fileno()])
        self.stored = set(names)

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

    def remove(self, endpoints: Iterable[Endpoint]) -> None:
        """Listen there no more, whoever still has copies of these sockets; unless another one has the same."""
        for endpoint in list(endpoints):
            others = [each for each in self._sockets if each != endpoint]
            heir = self.heir(endpoint, others)
            if heir is not None:
                with contextlib.suppress(OSError):  # it had these options before
                    _reshape(self._sockets.pop(endpoint), others[heir])
                continue
            for sock in self._sockets.get(endpoint, []):
                with contextlib.suppress(OSError):  # a copy of it would go on queueing for nobody
                    _retire(sock, endpoint)
                if endpoint.kind == "packet":
                    self._retired.add(endpoint.port)
            self._close(endpoint, unlink=True)

    def close(self) -> None:
        """Close all. What the service manager keeps copies of can be served again by the next process."""
        for endpoint in list(self._sockets):
            self._close(endpoint, unlink=f"{name_of(endpoint)}.0" not in self.stored)

    def _close(self, endpoint: Endpoint, *, unlink: bool) -> None:
        slots = self._sockets.pop(endpoint, [])
        for sock in slots:
            sock.close()
        # What could not be opened may be the socket of somebody who is well alive.
        if unlink and slots and isinstance(endpoint.host, str) and not endpoint.host.startswith("\0"):
            with contextlib.suppress(OSError):
                Path(endpoint.host).unlink()


def _reshape(slots: Iterable[socket], endpoint: Endpoint) -> None:
    """Give them the endpoint's options. Raises OSError."""
    for sock in slots:
        endpoint.reshape(sock)


def _retire(sock: socket, endpoint: Endpoint) -> None:
    """Make the kernel bring nothing more to a socket, whoever has copies of it. Raises OSError."""
    if endpoint.kind == "stream":
        sock.shutdown(consts.SHUT_RDWR)
    elif not isinstance(endpoint.host, str):
        # A connected socket hears one peer alone, and has no part any more of what comes to others at its address. Here
        # that is a port of our own that nobody sends from. Answers can still be sent to everybody.
        own = endpoint.host
        loopback = "127.0.0.1" if own.version == 4 else "::1"
        sock.connect((loopback if own.is_unspecified else str(own), _NOBODY))


def name_of(endpoint: Endpoint) -> str:
    """A name that only an equal endpoint has, in the characters that systemd allows."""
    digest = hashlib.sha256(repr(endpoint).encode()).hexdigest()[:16]
    return f"{_OURS}{endpoint.kind}-{endpoint.port}-{digest}"


def _listens_at(sock: socket, endpoint: Endpoint) -> bool:
    kind = consts.SOCK_STREAM if endpoint.kind == "stream" else consts.SOCK_DGRAM
    if sock.type & ~(consts.SOCK_NONBLOCK | consts.SOCK_CLOEXEC) != kind:
        return False
    if endpoint.kind == "stream" and not sock.getsockopt(consts.SOL_SOCKET, consts.SO_ACCEPTCONN):
        return False  # it was shut down
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
