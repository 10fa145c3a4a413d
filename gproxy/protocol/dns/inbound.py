"""The server side: who may ask, and by which way."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any, Final

from gproxy.base.address import UNSPECIFIED, Address, parse_ip
from gproxy.base.iface import Entrance, Later, QueryEntrance, Stream, StreamEntrance
from gproxy.base.session import Session
from gproxy.base.wiring import InboundWiring
from gproxy.limit.sources import Sources, Verdict
from gproxy.net.desk import Desk
from gproxy.net.questions import Conversation
from gproxy.protocol.dns.https import Https
from gproxy.protocol.dns.options import PATH, DnsInboundOptions
from gproxy.route.cidrs import NOT_PUBLIC, CidrSet
from gproxy.wire.dns import types
from gproxy.wire.dns.asked import read_asked, sent_to_tcp
from gproxy.wire.dns.message import error_reply

_NOT_PUBLIC = CidrSet(NOT_PUBLIC)
_REMEMBERED: Final = 1024  # clients


class DnsInbound:
    """Answers questions. None of them makes a session by itself; a stream is one."""

    def __init__(self, options: DnsInboundOptions, wiring: InboundWiring) -> None:
        self._tag = wiring.tag
        self._networks = options.networks()
        allowed = CidrSet(options.allow) if options.allow else _NOT_PUBLIC
        self._sources = Sources(allowed, _NOT_PUBLIC, options.rate_limit)
        self._free = self._sources.free
        self._desk = Desk(wiring.names, wiring.tag, subnets=options.forward_client_subnet)
        self._known = self._desk.known
        self._counted = wiring.counted
        self._session_of = lru_cache(_REMEMBERED)(self._new_session)  # whoever finds something out makes a copy
        self._https = Https(self._begin, options.path or PATH) if options.protocol == "https" else None

    def entrances(self) -> Sequence[Entrance]:
        """See Inbound."""
        doors: list[Entrance] = []
        if "tcp" in self._networks:
            doors.append(StreamEntrance(self.accept))
        if "udp" in self._networks:
            doors.append(QueryEntrance(self.answer))
        return doors

    def accept(self, stream: Stream, session: Session) -> None:
        """Serve one client's stream. Raises ProtocolError and StreamClosed."""
        host = session.source.host
        assert not isinstance(host, str), "a client's address is never a name"
        allowed = host.is_unspecified or self._sources.allows(host)  # a unix socket's clients have no address
        if self._https is not None:
            self._https.serve(stream, session, allowed=allowed)
        elif allowed:
            Conversation(stream, partial(self._begin, session=session)).run()
        else:
            Conversation(stream, _refused).run()

    def _begin(self, query: bytes, session: Session) -> bytes | Later:
        self._counted()
        return self._desk.begin(query, session)

    def answer(self, data: bytes, name: Any) -> bytes | Later:
        """See QueryEntrance."""
        host = name[0]
        if host not in self._free:
            verdict = self._sources.judge(host)
            if verdict != "answer":
                return _denied(data, verdict)
        said = self._known(data)
        if said is not None:
            return said
        return self._desk.begin_datagram(data, self._session_of(host, name[1]))

    def _new_session(self, host: str, port: int) -> Session:
        return Session(0, "udp", self._tag, Address(parse_ip(host), port), UNSPECIFIED)


def _refused(query: bytes) -> bytes:
    return error_reply(query, types.REFUSED)


def _denied(query: bytes, verdict: Verdict) -> bytes:
    """What who may not ask, or asks too often, gets: never more than what he sent."""
    if verdict == "refuse":
        return error_reply(query, types.REFUSED)
    if verdict == "shorten":
        asked = read_asked(query)
        return b"" if asked is None else sent_to_tcp(query, asked)
    return b""
