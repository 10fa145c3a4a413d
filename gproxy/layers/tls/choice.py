"""Several inbounds on one port: the client's hello says which of them it is for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from gproxy.base.errors import AuthError, ProtocolError
from gproxy.base.iface import Accept, Stream
from gproxy.base.session import Session
from gproxy.layers.tls.hello import ACME, NO_APPLICATION_PROTOCOL, UNRECOGNIZED_NAME, peek_hello
from gproxy.layers.tls.supply import Supply
from gproxy.net.buffered import Buffered
from gproxy.rt.deadline import deadline
from gproxy.schema.tls import TlsInbound
from gproxy.wire.clienthello import ClientHello


class Member(NamedTuple):
    """One of the inbounds. It is for clients that ask for its name and offer one of its protocols, if it has these."""

    tag: str
    udp_timeout: float
    accept: Accept
    name: str
    alpn: frozenset[bytes]
    supply: Supply | None

    @classmethod
    def of(cls, tag: str, udp_timeout: float, accept: Accept, options: TlsInbound, supply: Supply | None) -> Member:
        """By the options of the inbound's TLS. `accept` takes the stream as the client has sent it."""
        alpn = frozenset(name.encode() for name in options.alpn)
        return cls(tag, udp_timeout, accept, options.server_name.lower(), alpn, supply)


class Choice:
    """Hands each client to one of its members.

    Those of the client's name go before those of none, and among either those of its protocols before those of none. A
    name that one member alone has is enough. Whom nobody is for is refused with an alert; what is no hello goes to the
    member for all, or the first one, whose TLS says what is wrong with it.
    """

    def __init__(self, timeout: float) -> None:
        """`timeout`: for the hello, in seconds."""
        self._timeout = timeout
        self._members: list[Member] = []

    def add(self, member: Member) -> None:
        """One more, while nothing is served yet."""
        self._members.append(member)

    def accept(self, stream: Stream, session: Session) -> None:
        """See Accept."""
        with deadline(self._timeout, ProtocolError("no TLS handshake in time", reason="timeout")):
            ahead, hello = peek_hello(stream)
            member = self._for_all() if hello is None else self._for(hello)
            if member is None:
                assert hello is not None, "there is always one for what is no hello"
                self._refuse(stream, hello)
        session.inbound, session.udp_timeout = member.tag, member.udp_timeout
        member.accept(Buffered(stream, ahead), session)

    def _for_all(self) -> Member:
        return next((each for each in self._members if not each.name and not each.alpn), self._members[0])

    def _for(self, hello: ClientHello) -> Member | None:
        if ACME in hello.alpn:
            for each in self._members:
                if each.supply is not None and each.supply.proves(hello.server_name):
                    return each
        named = self._named(hello)
        if found := _speaking(named, hello.alpn):
            return found
        if len(named) == 1:
            return named[0]
        return _speaking([each for each in self._members if not each.name], hello.alpn)

    def _named(self, hello: ClientHello) -> list[Member]:
        return [each for each in self._members if each.name and each.name == hello.server_name]

    def _refuse(self, stream: Stream, hello: ClientHello) -> NoReturn:
        if self._named(hello) or any(not each.name for each in self._members):
            stream.sendall(NO_APPLICATION_PROTOCOL)
            raise ProtocolError("a client that offers no protocol of this port's inbounds", reason="alpn")
        stream.sendall(UNRECOGNIZED_NAME)
        raise AuthError("a client that asks for another name", reason="server-name")


def _speaking(members: Sequence[Member], offered: Sequence[bytes]) -> Member | None:
    for each in members:
        if not each.alpn.isdisjoint(offered):
            return each
    return next((each for each in members if not each.alpn), None)
