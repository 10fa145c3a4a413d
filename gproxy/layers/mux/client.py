"""The client side of sing-mux: an outbound whose streams and datagrams share few connections to its server."""

from __future__ import annotations

import logging
from functools import partial

from gproxy.base.address import Address
from gproxy.base.clock import now
from gproxy.base.defaults import HANDSHAKE_TIMEOUT
from gproxy.base.errors import DialError, Overloaded, ProtocolError, StreamClosed
from gproxy.base.iface import Outbound, PacketConn, Stream
from gproxy.base.session import Session
from gproxy.layers.mux.brutal import set_rate
from gproxy.layers.mux.cores import NAMES, make_core
from gproxy.layers.mux.packets import MuxPackets
from gproxy.layers.mux.padding import Padded, junk_size
from gproxy.net.buffered import Buffered
from gproxy.net.headed import Headed
from gproxy.net.link import Link, LinkStream
from gproxy.net.shared import SharedDial
from gproxy.rt.deadline import deadline
from gproxy.schema.multiplex import OutboundMultiplex
from gproxy.wire import mux
from gproxy.wire.cursor import Cursor, Incomplete

# A link that nobody has used for so long is closed when another one is in use. sing-mux keeps all of a busy minute's.
_IDLE = 300.0


class MuxOutbound:
    """An outbound around another one, which dials its links.

    A link is chosen as sing-mux does: the one with the fewest streams, unless it has as many as there shall be.
    """

    def __init__(self, inner: Outbound, options: OutboundMultiplex, log: logging.Logger) -> None:
        self.networks = inner.networks
        self._inner = inner
        self._options = options
        self._fewest = options.fewest()
        self._request = mux.Request(NAMES[options.protocol], options.padding)
        self._rates = options.brutal.rates() if options.brutal.enabled else None
        self._log = log
        self._links: list[Link] = []
        self._shared = SharedDial()

    def dial(self, target: Address, session: Session) -> Stream:
        """See Dialer. The server tells with its first payload, or with the end, whether it has reached the target."""
        head = mux.encode_stream_request(mux.StreamRequest(target))
        return MuxStream(self._open(session), head)

    def dial_packet(self, target: Address, session: Session) -> PacketConn:
        """See Dialer. Any address can be reached; if the session's options say `udp_connect`, `target` alone."""
        only = target if session.dial.udp_connect else None
        request = mux.encode_stream_request(mux.StreamRequest(target, datagrams=True, addressed=only is None))
        return MuxPackets(self._open(session), only, request=request)

    def close(self) -> None:
        """See Outbound."""
        for link in self._links:
            link.retire()
        self._links.clear()
        self._inner.close()

    # -- links ---------------------------------------------------------------------------------------------------------

    def _open(self, session: Session) -> LinkStream:
        """A stream of a link. One that breaks, or turns out to be full, at this moment is replaced once."""
        full: list[Link] = []
        for _ in range(2):
            link = self._shared.get(partial(self._chosen, full), partial(self._dial, session))
            try:
                return link.open()
            except (StreamClosed, Overloaded):
                full.append(link)
        raise DialError("new links break, or are full, at once")

    def _chosen(self, full: list[Link]) -> Link | None:
        links = self._links = [link for link in self._links if link.open_for_more]
        free = [link for link in links if link not in full]
        if not free:
            return None
        best = min(free, key=len)
        self._close_idle(best)
        options, count = self._options, len(best)
        if count == 0 or self._rates is not None or count < self._fewest:
            return best
        if options.max_connections:
            return best if len(links) >= options.max_connections else None
        return best if count < options.max_streams else None

    def _close_idle(self, but: Link) -> None:
        before = now() - _IDLE
        for link in self._links:
            if not len(link) and link is not but and link.idle_since < before:
                link.retire()

    def _dial(self, session: Session) -> Link:
        """A new link. It is its own session's, since it outlives the one that asks for it. Raises DialError."""
        own = Session(session.id, "tcp", session.inbound, session.source, mux.TARGET)
        carrier = self._inner.dial(mux.TARGET, own)
        request = self._request
        beneath: Stream = Headed(carrier, mux.encode_request(request, junk_size()))
        if request.padded:
            beneath = Padded(beneath)
        link = Link(beneath, make_core(request.kind, client=True))
        link.start()
        if self._rates is not None:
            try:
                self._agree(link, carrier, *self._rates)
            except BaseException:
                link.close()
                raise
        self._links.append(link)
        return link

    def _agree(self, link: Link, carrier: Stream, up: int, down: int) -> None:
        """Agree with the server on TCP Brutal's rates. Raises DialError if it does not."""
        try:
            with deadline(HANDSHAKE_TIMEOUT, ProtocolError("no answer in time", reason="timeout")):
                server = Buffered(MuxStream(link.open(), mux.encode_stream_request(mux.StreamRequest(mux.BRUTAL))))
                try:
                    server.sendall(mux.encode_rate(down))
                    agreement = server.decode(mux.decode_agreement, mux.MAX_ANSWER)
                finally:
                    server.close()
        except (ProtocolError, StreamClosed, Overloaded) as error:
            raise DialError(f"no agreement on TCP Brutal: {error}", reason="failed") from error
        if isinstance(agreement, str):
            raise DialError(f"no agreement on TCP Brutal: the server: {agreement}", reason="declined")
        if why := set_rate(carrier, min(up, agreement)):
            self._log.warning("this side sends as ever: %s", why)


class MuxStream(Headed):
    """A link's stream with its request, which leaves with the first payload, and the answer before the target's."""

    __slots__ = ("_answer",)

    def __init__(self, inner: Stream, head: bytes) -> None:
        super().__init__(inner, head)
        self._answer: bytes | None = b""  # as far as it has come; None: it was a success

    def recv(self) -> bytes:
        """See Stream. A failure of the server's ends it as `reset`."""
        while self._answer is not None:
            data = super().recv()
            if not data:
                raise StreamClosed("the server has closed the stream without an answer", reason="reset")
            if payload := self._answered(self._answer + data):
                return payload
        return super().recv()

    def _answered(self, data: bytes) -> bytes:
        """What comes after the answer."""
        cursor = Cursor(data)
        try:
            failure = mux.decode_answer(cursor)
        except Incomplete:
            self._answer = data
            return b""
        except ProtocolError as error:
            raise StreamClosed(f"no answer from the server: {error}", reason="corrupt") from error
        if failure is not None:
            raise StreamClosed(f"the server: {failure}", reason="reset")
        self._answer = None
        return cursor.rest()

    def take(self) -> bytes:
        """See Stream."""
        data = super().take()
        return data if self._answer is None or not data else self._answered(self._answer + data)
