"""Outbounds and deciders that do what a test says."""

from __future__ import annotations

from collections.abc import Callable

from gproxy.base.address import Address
from gproxy.base.iface import Outbound, PacketConn, Stream
from gproxy.base.session import Session
from gproxy.engine.sniffing import Opening, ServerFirst, settle
from gproxy.route.action import Sniff
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
    """Decides as `decide` says, which may change the session; before that it does `sniff`, if that is set."""

    def __init__(self, decide: Callable[[Session], Outbound], sniff: Sniff | None = None) -> None:
        self.asked: list[Address] = []
        self.sniff = sniff
        self.server_first = ServerFirst()
        self._decide = decide

    def decide(self, session: Session, opening: Opening | None = None) -> Outbound:
        self.asked.append(session.target)
        if self.sniff is not None and opening is not None and session.sniffed is None:
            found = opening.sniff(self.sniff, session.target, self.server_first)
            if found is not None:
                settle(self.sniff, session, found)
        return self._decide(session)
