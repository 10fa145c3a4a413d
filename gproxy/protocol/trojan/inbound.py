"""The server side of Trojan."""

from __future__ import annotations

from collections.abc import Sequence

from gproxy.base.address import Address, parse_host
from gproxy.base.clock import now
from gproxy.base.defaults import HANDSHAKE_TIMEOUT
from gproxy.base.errors import AuthError, ProtocolError
from gproxy.base.iface import Accept, Branch, Entrance, ResetReply, Stream, StreamEntrance
from gproxy.base.session import Session
from gproxy.base.wiring import InboundWiring
from gproxy.net.buffered import Buffered
from gproxy.net.link import Link, LinkStream
from gproxy.net.unwelcome import swallow
from gproxy.observe import access
from gproxy.protocol.trojan import wire
from gproxy.protocol.trojan.options import Fallback, TrojanInboundOptions, warn_of_plain
from gproxy.protocol.trojan.packets import TrojanPackets
from gproxy.protocol.trojan.users import Users
from gproxy.rt.deadline import deadline
from gproxy.wire.cursor import Cursor
from gproxy.wire.proxyproto import encode_v1, encode_v2
from gproxy.wire.smux import Smux


class TrojanInbound:
    """Serves those who give a user's password, and hands everybody else on to a web site, with all that they said.

    Who is handed on is told by what can't be Trojan any more, never by what can't be a user's key any more: else how
    long the server waits would tell a key digit by digit. Without a web site the others learn nothing at all
    (gproxy.net.unwelcome). A client that has given a right password has nothing to find out: if it goes on wrongly, its
    stream is closed and the log says why.

    The web site stands in the options of this inbound. So no rule is asked about it: one that is meant for the users'
    traffic, such as a refusal of private addresses, would tell a probe that this is a proxy.
    """

    def __init__(self, options: TrojanInboundOptions, wiring: InboundWiring) -> None:
        self._users = Users((user.name, user.password.reveal()) for user in options.users)
        self._site = _Site(options.fallback) if options.fallback is not None else None
        self._sites = {name: _Site(fallback) for name, fallback in options.fallback_for_alpn.items()}
        self._dispatcher = wiring.dispatcher
        self._straight = wiring.straight
        self._branch = wiring.branch
        self._log = wiring.log
        warn_of_plain(options.tls, wiring.log)

    def entrances(self) -> Sequence[Entrance]:
        """One, for streams; datagrams come on them."""
        return (StreamEntrance(self.accept),)

    def accept(self, stream: Stream, session: Session) -> None:
        """Serve one client. Raises ProtocolError and its kin for those that are neither users nor handed on."""
        until = now() + HANDSHAKE_TIMEOUT
        client = stream if isinstance(stream, Buffered) else Buffered(stream)
        known = False
        try:
            with deadline(HANDSHAKE_TIMEOUT, _late()):
                session.user = client.decode(self._identified, wire.MAX_OPENING) or None
                known = True
                command, session.target = client.decode(wire.decode_request, wire.MAX_REQUEST)
        except ProtocolError as why:
            if known or why.reason == "empty":  # that has left without a word
                raise
            self._turn_away(client, session, why, until)
            return
        if command == wire.MULTIPLEX:
            _Streams(self._branch, self._accept_stream, session).serve(client)
        else:
            self._dispatch(command, client, session)

    def _accept_stream(self, stream: Stream, session: Session) -> None:
        """Serve one of the streams of a link. Raises ProtocolError."""
        client = Buffered(stream)
        with deadline(HANDSHAKE_TIMEOUT, _late()):
            command, session.target = client.decode(wire.decode_stream_request, wire.MAX_REQUEST)
        self._dispatch(command, client, session)

    def _dispatch(self, command: int, client: Buffered, session: Session) -> None:
        if command == wire.CONNECT:
            self._dispatcher.stream(session, client, ResetReply(client))
        else:
            session.network = "udp"
            self._dispatcher.packets(session, TrojanPackets(client))

    def _identified(self, cursor: Cursor) -> str:
        """The name of the user whose key is read; it may be empty. Raises AuthError for nobody's."""
        name = self._users.find(wire.decode_key(cursor))
        if name is None:
            raise AuthError("wrong password")
        return name

    def _turn_away(self, client: Buffered, session: Session, why: ProtocolError, until: float) -> None:
        site = self._site_for(session.alpn)
        if site is None:
            swallow(client, until, session, why)
            raise why
        self._log.debug("session %d is handed on to %s: %s", session.id, site.address, why)
        session.target, session.rule = site.address, "fallback"
        self._straight.stream(session, Buffered(client, site.header(session) + client.take()), ResetReply(client))

    def _site_for(self, alpn: str) -> _Site | None:
        if self._sites and alpn:
            return self._sites.get(alpn)
        return self._site


class _Streams:
    """A link of trojan-go's own kind, which gets no answers: its streams become sessions."""

    __slots__ = ("_accept", "_branch", "_session")

    def __init__(self, branch: Branch, accept: Accept, session: Session) -> None:
        self._branch = branch
        self._accept = accept
        self._session = session

    def serve(self, client: Stream) -> None:
        """Until the link is over. Raises ProtocolError and StreamClosed."""
        began = now()
        self._session.carries = True
        Link(client, Smux(client=False), self._begin).run()
        access.finished(self._session, "ok", 0, 0, now() - began, "a link")

    def _begin(self, stream: LinkStream, head: object) -> None:
        self._branch(self._accept, stream, self._session)


class _Site:
    """Where clients are handed on to."""

    __slots__ = ("_version", "address")

    def __init__(self, options: Fallback) -> None:
        self.address = Address(parse_host(options.server), options.server_port)
        self._version = options.proxy_protocol

    def header(self, session: Session) -> bytes:
        """What is said before the client's own first byte."""
        if not self._version:
            return b""
        encode = encode_v1 if self._version == 1 else encode_v2
        return encode(session.source, session.local)


def _late() -> ProtocolError:
    return ProtocolError("no Trojan request in time", reason="timeout")
