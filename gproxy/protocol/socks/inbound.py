"""The server side of SOCKS 4, 4a and 5."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from gproxy.base.address import UNSPECIFIED, Address
from gproxy.base.defaults import HANDSHAKE_TIMEOUT
from gproxy.base.errors import AuthError, GproxyError, Overloaded, ProtocolError, Rejected, StreamClosed, Unsupported
from gproxy.base.iface import Entrance, PacketConn, Stream, StreamEntrance
from gproxy.base.session import Session
from gproxy.base.wiring import InboundWiring
from gproxy.net.buffered import Buffered
from gproxy.protocol.socks import wire
from gproxy.protocol.socks.options import SocksInboundOptions
from gproxy.protocol.socks.packets import AssociatedClient
from gproxy.protocol.socks.replies import SUCCEEDED, code_for
from gproxy.rt.deadline import deadline
from gproxy.rt.group import Group
from gproxy.schema.users import Users

_WELCOME_ALL = wire.encode_method(wire.NO_AUTH)


class SocksInbound:
    """Reads which SOCKS it is from the first octet, then who asks for what, and hands the stream on.

    With users, a SOCKS5 client must give a right password, and a SOCKS4 client's user id must be the name of a user
    whose password is empty, as in sing-box. Without users everybody is welcome, with or without a password.
    """

    def __init__(self, options: SocksInboundOptions, wiring: InboundWiring) -> None:
        self._users = Users(options.users)
        self._dispatcher = wiring.dispatcher
        self._bind_packets = wiring.bind_packets

    def entrances(self) -> Sequence[Entrance]:
        """One, for streams; datagrams come to ports that their control connections ask for."""
        return (StreamEntrance(self.accept),)

    def accept(self, stream: Stream, session: Session) -> None:
        """Serve one client. Raises ProtocolError and its kin after the client has got the reply for it."""
        client = stream if isinstance(stream, Buffered) else Buffered(stream)
        with deadline(HANDSHAKE_TIMEOUT, ProtocolError("no SOCKS request in time", reason="timeout")):
            version = client.peek()[:1]
            try:
                request, reply = self._handshake(version, client, session)
            except ProtocolError as why:
                if why.reason == "empty" and version:  # between two messages, but not before the first
                    raise ProtocolError("the client left inside the handshake", reason="truncated") from why
                raise
        if request.command == wire.CONNECT:
            session.target = request.target
            self._dispatcher.stream(session, client, reply)
        else:
            self._associate(client, session, request.target, reply)

    def _handshake(self, version: bytes, client: Buffered, session: Session) -> tuple[wire.Request, Reply4 | Reply5]:
        reply: Reply4 | Reply5
        if version == b"\x05":
            reply = Reply5(client)
            return self._request5(client, session, reply), reply
        if version == b"\x04":
            reply = Reply4(client)
            return self._request4(client, session, reply), reply
        raise _not_socks(version)

    def _request5(self, client: Buffered, session: Session, reply: Reply5) -> wire.Request:
        self._authenticate(client, session)
        try:
            request = client.decode(wire.decode_request5, wire.MAX_MESSAGE)
            if request.command not in (wire.CONNECT, wire.UDP_ASSOCIATE):
                raise Unsupported(f"SOCKS5 command {request.command}", reason="command")
        except ProtocolError as why:
            reply.reject(why)
            raise
        return request

    def _authenticate(self, client: Buffered, session: Session) -> None:
        methods = client.decode(wire.decode_greeting, wire.MAX_MESSAGE)
        if not self._users and wire.NO_AUTH in methods:
            client.sendall(_WELCOME_ALL)
            return
        if wire.PASSWORD not in methods:
            _tell(client, wire.encode_method(wire.NO_METHOD))
            raise AuthError("the client offers no authentication that is taken here", reason="method")
        client.sendall(wire.encode_method(wire.PASSWORD))
        try:
            name, password = client.decode(wire.decode_password, wire.MAX_MESSAGE)
            if self._users:
                session.user = self._verified(name, password)
        except ProtocolError:
            _tell(client, wire.encode_welcome(False))
            raise
        client.sendall(wire.encode_welcome(True))

    def _request4(self, client: Buffered, session: Session, reply: Reply4) -> wire.Request:
        try:
            request = client.decode(wire.decode_request4, wire.MAX_MESSAGE)
            if self._users:
                session.user = self._verified(request.userid, b"")
            if request.command != wire.CONNECT:
                raise Unsupported(f"SOCKS4 command {request.command}", reason="command")
        except ProtocolError as why:
            reply.reject(why)
            raise
        return request

    def _verified(self, name: bytes, password: bytes) -> str:
        user = self._users.verify(name, password)
        if user is None:
            raise AuthError("unknown user or wrong password")
        return user

    def _associate(self, client: Buffered, session: Session, announced: Address, reply: Reply4 | Reply5) -> None:
        """Serve datagrams for as long as the control connection lives: RFC 1928 section 7."""
        try:
            conn, bound = self._open_port(session)
        except GproxyError as why:
            reply.reject(why)
            raise
        session.network = "udp"
        associated = AssociatedClient(conn, session.source, announced)
        try:
            reply.accept(bound)
            with Group("socks control") as watching:
                watching.spawn(associated.watch, client)
                self._dispatcher.packets(session, associated)
        finally:
            associated.close()

    def _open_port(self, session: Session) -> tuple[PacketConn, Address]:
        if session.local is None:  # a unix socket's client has no address that datagrams could come from
            raise Unsupported("UDP for a client that did not come over IP", reason="command")
        try:
            return self._bind_packets(session)
        except OSError as error:
            raise Overloaded(f"no UDP port for the client: {error.strerror or error}", reason="udp") from error


def _not_socks(first: bytes) -> ProtocolError:
    if first:
        return ProtocolError(f"not SOCKS: the first octet is {first[0]}")
    return ProtocolError("the stream ended before it began", reason="empty")


def _tell(client: Stream, message: bytes) -> None:
    with contextlib.suppress(StreamClosed):  # nobody is left to hear it, which is no news to whoever comes next
        client.sendall(message)


class Reply5:
    """A SOCKS5 client's yes or no."""

    __slots__ = ("_client",)
    awaited = True

    def __init__(self, client: Stream) -> None:
        self._client: Stream | None = client

    def accept(self, bound: Address | None = None) -> None:
        """See Reply."""
        self._say(wire.encode_reply5(SUCCEEDED, UNSPECIFIED if bound is None else bound))

    def reject(self, why: GproxyError) -> None:
        """See Reply."""
        self._say(b"" if isinstance(why, Rejected) and why.drop else wire.encode_reply5(code_for(why)))

    def _say(self, message: bytes) -> None:
        client, self._client = self._client, None
        if client is not None and message:
            _tell(client, message)


class Reply4(Reply5):
    """A SOCKS4 client's yes or no."""

    __slots__ = ()

    def accept(self, bound: Address | None = None) -> None:
        """See Reply."""
        self._say(wire.encode_reply4(wire.GRANTED4, UNSPECIFIED if bound is None else bound))

    def reject(self, why: GproxyError) -> None:
        """See Reply. SOCKS4 has one code for nearly everything."""
        self._say(b"" if isinstance(why, Rejected) and why.drop else wire.encode_reply4(wire.REJECTED4))
