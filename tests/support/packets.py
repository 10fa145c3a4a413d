"""A PacketConn in memory: a test puts datagrams in and looks at what was sent."""

from __future__ import annotations

from collections import deque

from gproxy.base.address import Address
from gproxy.base.errors import StreamClosed
from gproxy.base.iface import Buffer, Take
from gproxy.rt.deadline import deadline
from gproxy.rt.sync import Event

PATIENCE = 5.0


class MemoryPackets:
    """See PacketConn. `deliver` is the network, `sent` is what was sent, `wait_sent` waits for that."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, Address]] = []
        self.closed = False
        self._inbox: deque[tuple[bytes, Address]] = deque()
        # One event for each side: a waiter clears its own just before it waits, and so can't lose the other's wake-up.
        self._arrived = Event()
        self._gone = Event()

    def deliver(self, data: bytes, address: Address) -> None:
        """Let a datagram arrive."""
        self._inbox.append((data, address))
        self._arrived.set()

    def wait_sent(self, count: int) -> list[tuple[bytes, Address]]:
        """What was sent, as soon as that is `count` datagrams."""
        with deadline(PATIENCE, AssertionError(f"{count} datagrams expected, sent so far: {self.sent}")):
            while len(self.sent) < count:
                self._gone.clear()
                self._gone.wait()
        return self.sent

    def recv_from(self) -> tuple[Buffer, Address]:
        """See PacketConn."""
        while not self._inbox:
            if self.closed:
                raise StreamClosed("closed here", reason="local")
            self._arrived.clear()
            self._arrived.wait()
        return self._inbox.popleft()

    def send_to(self, data: Buffer, to: Address, /) -> None:
        """See PacketConn."""
        if self.closed:
            raise StreamClosed("closed here", reason="local")
        self.sent.append((bytes(data), to))
        self._gone.set()

    def close(self) -> None:
        """See PacketConn."""
        self.closed = True
        self._arrived.set()


class PromptPackets(MemoryPackets):
    """See Prompt."""

    def __init__(self) -> None:
        super().__init__()
        self._take: Take | None = None

    def offer(self, take: Take | None, /) -> None:
        """See Prompt."""
        self._take = take

    def prompt(self, to: Address, /) -> bool:
        """See Prompt."""
        return not to.is_domain

    def deliver(self, data: bytes, address: Address) -> None:
        """Let a datagram arrive, in the hub."""
        if self.closed or self._take is None or not self._take(data, address):
            super().deliver(data, address)
