"""A PacketConn around another one, whose datagrams carry something of a protocol's before their payload."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque

from gproxy.base.address import Address
from gproxy.base.errors import StreamClosed
from gproxy.base.iface import Buffer, PacketConn, Prompt, Take


class Wrapped(ABC):
    """Opens what arrives, in the hub if the one beneath is prompt. Sending is left to those that are built on it."""

    __slots__ = ("_conn", "_over", "_take", "_unwanted")

    def __init__(self, conn: PacketConn) -> None:
        self._conn = conn
        self._over: StreamClosed | None = None
        self._take: Take | None = None
        # What was opened in the hub and not taken there, with the datagram that the reader will get for it.
        self._unwanted: deque[tuple[Buffer, tuple[Buffer, Address]]] = deque()

    @abstractmethod
    def _open(self, data: Buffer, peer: Address) -> tuple[Buffer, Address] | None:
        """The payload and its address; None for what is dropped. Raises StreamClosed when this is the end.

        It does not wait: it may be called in the hub.
        """

    def _receive(self) -> tuple[Buffer, Address]:
        """The next datagram from beneath. Raises StreamClosed."""
        return self._conn.recv_from()

    def recv_from(self) -> tuple[Buffer, Address]:
        """See PacketConn."""
        while True:
            data, peer = self._receive()
            if self._over is not None:
                raise self._over
            if self._unwanted and self._unwanted[0][0] is data:
                return self._unwanted.popleft()[1]
            opened = self._open(data, peer)
            if opened is not None:
                return opened

    def offer(self, take: Take | None, /) -> None:
        """See Prompt."""
        self._take = take
        if isinstance(self._conn, Prompt):
            self._conn.offer(self._arrived if take is not None else None)

    def _arrived(self, data: Buffer, peer: Address) -> bool:
        """See Take."""
        try:
            opened = self._open(data, peer)
        except StreamClosed as over:
            self._over = over
            return False  # the reader is to hear it
        if opened is None or (self._take is not None and self._take(*opened)):
            return True
        self._unwanted.append((data, opened))
        return False

    def prompt(self, to: Address, /) -> bool:
        """See Prompt."""
        return isinstance(self._conn, Prompt) and self._conn.prompt(to)

    def close(self) -> None:
        """See PacketConn."""
        self._conn.close()
