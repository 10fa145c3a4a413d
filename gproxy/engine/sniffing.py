"""The action `sniff`: a session's first bytes are read ahead, looked at, and given back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from gproxy.base.address import Address
from gproxy.base.clock import now
from gproxy.base.defaults import SERVER_FIRST, SERVER_FIRST_KNOWN, SNIFF_DATAGRAMS
from gproxy.base.iface import Buffer, Reply, Stream
from gproxy.base.session import Session, Sniffed
from gproxy.net.buffered import Buffered
from gproxy.relay.firstword import FirstWord
from gproxy.route.action import Sniff
from gproxy.route.sniff import PacketSniffing, StreamSniffing
from gproxy.rt.deadline import deadline

SERVER_FIRST_PORTS = frozenset({25, 110, 143, 465, 587, 993, 995})
"""Mail: the server speaks first, so no client of it is listened to. As in sing-box."""


class ServerFirst:
    """Destinations that have shown that their server speaks first: for a while, and a bounded number of them."""

    def __init__(self) -> None:
        self._until: dict[Address, float] = {}

    def add(self, target: Address) -> None:
        """It has shown that."""
        self._until.pop(target, None)
        if len(self._until) >= SERVER_FIRST_KNOWN:
            del self._until[next(iter(self._until))]
        self._until[target] = now() + SERVER_FIRST

    def __contains__(self, target: Address) -> bool:
        until = self._until.get(target)
        if until is None:
            return False
        if until > now():
            return True
        del self._until[target]
        return False

    def __len__(self) -> int:
        return len(self._until)


class Opening(Protocol):
    """What a client says first, as far as rules want to know."""

    def sniff(self, action: Sniff, target: Address, server_first: ServerFirst) -> Sniffed | None:
        """Look at it, waiting for it if need be. Raises StreamClosed."""


class FirstBytes:
    """Those of a stream. `stream` is the one to go on with: nothing of it is lost."""

    __slots__ = ("_asked", "_known", "_reply", "_silent_to", "accepted", "stream")

    def __init__(self, stream: Stream, reply: Reply) -> None:
        self.stream = stream
        self.accepted = False  # whether the client has been told yes, so that it speaks
        self._reply = reply
        self._asked: tuple[str, ...] | None = None  # the sniffers that have said no for good
        self._silent_to: Address | None = None
        self._known: ServerFirst | None = None

    def sniff(self, action: Sniff, target: Address, server_first: ServerFirst) -> Sniffed | None:
        """See Opening. A client that waits for its yes gets it now."""
        if not action.streams or action.sniffers == self._asked:
            return None
        stream = self.stream
        if not isinstance(stream, Buffered):
            self.stream = stream = Buffered(stream)
        if not stream.ahead:
            if target in server_first:
                return None
            if self._reply.awaited and not self.accepted:
                self._reply.accept()
                self.accepted = True
        return self._listen(stream, action, target, server_first)

    def _listen(self, stream: Buffered, action: Sniff, target: Address, known: ServerFirst) -> Sniffed | None:
        sniffing = StreamSniffing(action.streams)
        found = sniffing.feed(stream.ahead) if stream.ahead else None
        until = now() + action.timeout
        while found is None and sniffing.more:
            try:
                with deadline(max(until - now(), 0.001), _Silence()):
                    if not stream.more():
                        break
            except _Silence:
                if not stream.ahead:
                    self._silent_to, self._known = target, known
                break
            found = sniffing.feed(stream.ahead)
        if not sniffing.more:
            self._asked = action.sniffers
        return found

    def watch(self, upstream: Stream) -> Stream:
        """If the client was silent, wait for the first word of either side, and remember who said it.

        The upstream to go on with; so is `stream`.
        """
        if self._silent_to is None or self._known is None:
            return upstream
        word = FirstWord(self.stream, upstream)
        word.wait()
        if word.first == "right":
            self._known.add(self._silent_to)
        self.stream = word.left
        return word.right


class FirstDatagrams:
    """Those for one destination. `held` are to be sent on, in their order, when the way is open."""

    __slots__ = ("_asked", "_following", "_to", "held")

    def __init__(self, first: Buffer, to: Address, following: Callable[[Address, float], bytes | None]) -> None:
        """`following` waits so many seconds for the next one; None: there is none."""
        self.held: list[Buffer] = [first]
        self._to = to
        self._following = following
        self._asked: tuple[str, ...] | None = None  # the sniffers that have said no

    def sniff(self, action: Sniff, target: Address, server_first: ServerFirst) -> Sniffed | None:
        """See Opening. Only QUIC is waited for, whose client says its first words in several datagrams."""
        if not action.packets or action.sniffers == self._asked:
            return None
        self._asked = action.sniffers
        sniffing = PacketSniffing(action.packets)
        first = bytes(self.held[0])
        self.held[0] = first  # the buffer that it came in is its connection's again with the next one
        found = sniffing.feed(first)
        until = now() + action.timeout
        while sniffing.more and len(self.held) < SNIFF_DATAGRAMS:
            datagram = self._following(self._to, until - now())
            if datagram is None:
                break
            self.held.append(datagram)
            found = sniffing.feed(datagram)
        return found


class _Silence(Exception):
    """The client says nothing, or nothing more."""


def settle(action: Sniff, session: Session, found: Sniffed) -> None:
    """Write down what was found; the domain becomes the target if the rule says so.

    A domain that was known before stays if no other one was found.
    """
    if not found.domain and session.sniffed is not None:
        found = replace(found, domain=session.sniffed.domain)
    session.sniffed = found
    if action.override and found.domain and found.domain != session.target.host:
        if session.asked is None:
            session.asked = session.target
        session.target = Address(found.domain, session.target.port)
        session.addresses = ()
        if session.dial.internal:  # this target is the client's own
            session.dial = replace(session.dial, internal=False)
