"""Outbounds and deciders that do what a test says."""

from __future__ import annotations

from collections.abc import Callable

from gproxy.base.address import Address
from gproxy.base.iface import Outbound, PacketConn, Stream
from gproxy.base.session import Session
from tests.support.packets import MemoryPackets


class FakeOutbound:
    """`streams` says what a dial gives; packet connections are kept in `upstreams`, with their first targets."""

    def __init__(
        self,
        streams: Callable[[Address, Session], Stream] | None = None,
        networks: frozenset[str] = frozenset({"tcp", "udp"}),
        error: Exception | None = None,
    ) -> None:
        self.networks = networks
        self.closed = False
        self.error = error
        self.dialled: list[Address] = []
        self.upstreams: list[MemoryPackets] = []
        self._streams = streams

    def dial(self, target: Address, session: Session) -> Stream:
        self.dialled.append(target)
        if self.error is not None:
            raise self.error
        assert self._streams is not None
        return self._streams(target, session)

    def dial_packet(self, target: Address, session: Session) -> PacketConn:
        self.dialled.append(target)
        if self.error is not None:
            raise self.error
        self.upstreams.append(MemoryPackets())
        return self.upstreams[-1]

    def close(self) -> None:
        self.closed = True


class FakeDecider:
    """Decides as `decide` says, which may change the session."""

    def __init__(self, decide: Callable[[Session], Outbound]) -> None:
        self.asked: list[Address] = []
        self._decide = decide

    def decide(self, session: Session) -> Outbound:
        self.asked.append(session.target)
        return self._decide(session)
