"""All sniffers of a rule, asked about what a client says first."""

from __future__ import annotations

from collections.abc import Sequence

from gproxy.base.errors import ProtocolError
from gproxy.base.session import Sniffed
from gproxy.route.sniff.found import MOST
from gproxy.route.sniff.quic import BARE, QuicSniffer, sniff_quic
from gproxy.wire.cursor import Cursor, Decode, Incomplete

_MOST_PIECES = 64
"""A client that sends its first words in more pieces than this is not worth the work."""


class StreamSniffing:
    """Asks about a stream's beginning, of which there is more each time. The work is bounded."""

    __slots__ = ("_asked", "_open")

    def __init__(self, sniffers: Sequence[Decode[Sniffed]]) -> None:
        self._open = list(sniffers)  # those that have not said no
        self._asked = 0

    @property
    def more(self) -> bool:
        """Whether more bytes could tell."""
        return bool(self._open)

    def feed(self, data: bytes) -> Sniffed | None:
        """What is found in all that has come so far; the first one in their order says it."""
        self._asked += 1
        unsure: list[Decode[Sniffed]] = []
        for sniffer in self._open:
            try:
                return sniffer(Cursor(data))
            except Incomplete:
                unsure.append(sniffer)
            except ProtocolError:
                pass
        self._open = unsure if len(data) < MOST and self._asked < _MOST_PIECES else []
        return None


class PacketSniffing:
    """Asks about the datagrams for one destination, one after the other."""

    __slots__ = ("_quic", "_sniffers", "more")

    def __init__(self, sniffers: Sequence[Decode[Sniffed]]) -> None:
        self._sniffers = sniffers
        self._quic: QuicSniffer | None = None
        self.more = True  # whether further datagrams could tell

    def feed(self, datagram: bytes) -> Sniffed | None:
        """What is known with this one: while there could be `more`, that is not all yet."""
        if self._quic is not None:
            return self._ask_quic(self._quic, datagram)
        self.more = False
        quic = QuicSniffer()
        for sniffer in self._sniffers:
            try:
                return quic.feed(datagram) if sniffer is sniff_quic else sniffer(Cursor(datagram))
            except Incomplete:
                self._quic = quic
            except ProtocolError:
                pass
        self.more = self._quic is not None
        return BARE if self.more else None

    def _ask_quic(self, quic: QuicSniffer, datagram: bytes) -> Sniffed:
        self.more = False
        try:
            return quic.feed(datagram)
        except Incomplete:
            self.more = True
        except ProtocolError:
            pass
        return BARE
