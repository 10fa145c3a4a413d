"""The server side of sing-mux: links of many streams, each of which becomes a session of its own."""

from __future__ import annotations

import contextlib
from typing import Any

from gproxy.base.address import Address
from gproxy.base.clock import now
from gproxy.base.defaults import HANDSHAKE_TIMEOUT
from gproxy.base.errors import GproxyError, ProtocolError, StreamClosed, Unsupported
from gproxy.base.iface import Branch, Dispatcher, PacketConn, Reply, Stream
from gproxy.base.session import Session
from gproxy.layers.mux.brutal import set_rate
from gproxy.layers.mux.cores import make_core
from gproxy.layers.mux.packets import MuxPackets
from gproxy.layers.mux.padding import Padded
from gproxy.net.buffered import Buffered
from gproxy.net.link import Link, LinkStream
from gproxy.observe import access
from gproxy.rt.deadline import deadline
from gproxy.schema.multiplex import InboundMultiplex
from gproxy.wire import mux


class MuxServer:
    """A dispatcher before another one: a stream to the host that means a link is served as one.

    Its streams go to the other dispatcher, so one that asks for a link within the link gets none here.
    """

    def __init__(self, then: Dispatcher, branch: Branch, options: InboundMultiplex) -> None:
        self._then = then
        self._branch = branch
        self._padding = options.padding
        self._rates = options.brutal.rates() if options.brutal.enabled else None

    def stream(self, session: Session, stream: Stream, reply: Reply) -> None:
        """See Dispatcher. Raises ProtocolError and StreamClosed for what ends a link out of order."""
        if session.target != mux.TARGET:
            self._then.stream(session, stream, reply)
            return
        began = now()
        reply.accept()
        client = Buffered(stream)
        with deadline(HANDSHAKE_TIMEOUT, ProtocolError("no request for a link in time", reason="timeout")):
            request = client.decode(mux.decode_request, mux.MAX_REQUEST)
        if self._padding and not request.padded:
            raise Unsupported("a link without padding, which this inbound demands", reason="unpadded")
        served = _Served(self._then, self._branch, session, client, self._rates, request.kind)
        beneath = Padded(client) if request.padded else client
        session.carries = True
        Link(beneath, make_core(request.kind, client=False), served.serve).run()
        access.finished(session, "ok", 0, 0, now() - began, f"a link of {served.count} streams")

    def packets(self, session: Session, conn: PacketConn) -> None:
        """See Dispatcher."""
        self._then.packets(session, conn)


class _Served:
    """One link's streams."""

    __slots__ = ("_branch", "_carrier", "_kind", "_rates", "_session", "_then", "count")

    def __init__(
        self,
        then: Dispatcher,
        branch: Branch,
        session: Session,
        carrier: Stream,
        rates: tuple[int, int] | None,
        kind: mux.Kind,
    ) -> None:
        self._then = then
        self._branch = branch
        self._session = session
        self._carrier = carrier
        self._rates = rates
        self._kind = kind
        self.count = 0

    def serve(self, stream: LinkStream, head: Any) -> None:
        """See Serve."""
        self.count += 1
        if self._kind is mux.Kind.H2MUX:
            from gproxy.wire.http2.head import Response

            stream.answer(Response(200))
        self._branch(self._accept, stream, self._session)

    def _accept(self, stream: Stream, session: Session) -> None:
        """See Accept. Raises ProtocolError."""
        client = Buffered(stream)
        with deadline(HANDSHAKE_TIMEOUT, ProtocolError("no request for a stream in time", reason="timeout")):
            session.target, datagrams, addressed = client.decode(mux.decode_stream_request, mux.MAX_STREAM_REQUEST)
            if mux.is_brutal(session.target) and not datagrams:
                self._agree(client)
                return
        reply = _Answer(client)
        if not datagrams:
            self._then.stream(session, client, reply)
            return
        reply.accept()
        session.network = "udp"
        self._then.packets(session, MuxPackets(client, None if addressed else session.target))

    def _agree(self, client: Buffered) -> None:
        """Agree on TCP Brutal's rates: the client's wish bounds what is sent to it."""
        wish = client.decode(mux.decode_rate, 8)
        agreement: int | str
        if self._rates is None:
            agreement = "brutal is not enabled by the server"
        else:
            up, down = self._rates
            agreement = set_rate(self._carrier, min(up, wish)) or down
        client.sendall(mux.encode_answer(None) + mux.encode_agreement(agreement))


class _Answer:
    """The answer to a stream's request (see Reply)."""

    __slots__ = ("_said", "_stream")

    awaited = False

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._said = False

    def accept(self, bound: Address | None = None) -> None:
        """See Reply."""
        self._say(None)

    def reject(self, why: GproxyError) -> None:
        """See Reply: the client is told why, as it has shown who it is."""
        self._say(str(why))

    def _say(self, failure: str | None) -> None:
        if not self._said:
            self._said = True
            with contextlib.suppress(StreamClosed):
                self._stream.sendall(mux.encode_answer(failure))
