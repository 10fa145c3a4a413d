"""Asking the kernel over netlink. It answers while it is asked, so nobody waits; no privilege is needed."""

from __future__ import annotations

import socket as consts
from _socket import socket

from gproxy.wire import netlink as wire

_READ = 64 * 1024  # the kernel's pieces are smaller
_AT_ONCE = 256  # changes that are heard in one go
_MOST = 4 * 2**20  # bytes of an answer: what is beyond is left out


class Netlink:
    """A socket of one of netlink's protocols, made when it is first needed, and anew after a failure."""

    __slots__ = ("_protocol", "_sequence", "_sock")

    def __init__(self, protocol: int) -> None:
        self._protocol = protocol
        self._sequence = 0
        self._sock: socket | None = None

    def ask(self, kind: int, flags: int, body: bytes) -> list[tuple[int, bytes]]:
        """The answer's messages: type and body. Raises OSError with the kernel's own number."""
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        try:
            sock = self._opened()
            sock.send(wire.message(kind, flags, body, self._sequence))
            return self._answer(sock, several=flags == wire.DUMP)
        except OSError:
            self.close()  # the rest of an answer must not be taken for that to the next question
            raise

    def _opened(self) -> socket:
        if self._sock is None:
            self._sock = _open(self._protocol)
        return self._sock

    def _answer(self, sock: socket, *, several: bool) -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        size = 0
        while True:
            data = sock.recv(_READ)
            size += len(data)
            for kind, sequence, body in wire.messages(data):
                if sequence != self._sequence:
                    continue
                if kind in {wire.ERROR, wire.DONE}:
                    if code := wire.error_of(body):
                        raise OSError(code, "netlink")
                    return found
                found.append((kind, body))
            if not several and found:
                return found
            if size > _MOST:
                self.close()
                return found

    def close(self) -> None:
        """Idempotent; another question opens it again."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None


class Changes:
    """Tells that something has changed in what netlink's groups are about. The groups are bits, as in rtnetlink(7)."""

    __slots__ = ("_groups", "_sock")

    def __init__(self, groups: int) -> None:
        self._groups = groups
        self._sock: socket | None = None

    def happened(self) -> bool:
        """Whether there was a change since the last call; the first one says yes. Never waits. Raises OSError when
        there is no socket to be had.
        """
        if self._sock is None:
            self._sock = _open(wire.ROUTE, self._groups)
            return True
        changed = False
        for _ in range(_AT_ONCE):
            try:
                self._sock.recv(_READ)
            except BlockingIOError:
                return changed
            except OSError:  # more than the socket could hold: nobody knows what they were
                self.close()
                return True
            changed = True
        return True

    def close(self) -> None:
        """Idempotent."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None


def _open(protocol: int, groups: int = 0) -> socket:
    sock = socket(consts.AF_NETLINK, consts.SOCK_RAW | consts.SOCK_NONBLOCK | consts.SOCK_CLOEXEC, protocol)
    try:
        sock.bind((0, groups))
    except OSError:
        sock.close()
        raise
    return sock
