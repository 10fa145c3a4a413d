"""One question to one server: from the cache, or by asking it, within its time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from gproxy.base.address import Address
from gproxy.base.clock import now
from gproxy.base.defaults import DNS_DATAGRAM
from gproxy.base.errors import DialError, GproxyError, ProtocolError
from gproxy.base.session import LookupOptions, Session, Strategy
from gproxy.dns.cache import Cache, Hit, cache_key
from gproxy.dns.iface import Ask, Server
from gproxy.observe.timing import Timing
from gproxy.route.cidrs import Network
from gproxy.rt.deadline import deadline
from gproxy.wire.dns import types
from gproxy.wire.dns.message import Edns, Message, Question, make_query, parse
from gproxy.wire.dns.name import encode_name
from gproxy.wire.dns.prepared import Prepared, prepare
from gproxy.wire.dns.subnet import with_subnet
from gproxy.wire.dns.svcb import without_hints

_NO_EDNS: Final = frozenset({types.FORMERR, types.NOTIMP})
"""What a server says that does not know EDNS (RFC 6891 section 7)."""

_REFUSED_TYPES: Final[Mapping[Strategy, int]] = {"ipv4_only": types.AAAA, "ipv6_only": types.A}
_HINTED: Final = frozenset({types.HTTPS, types.SVCB})


@dataclass(slots=True)  # frozen ones take five times as long to make, and there is one for each question
class Query:
    """A question as it is put to servers; nobody changes it. `name` as in `gproxy.wire.dns.name`."""

    name: str
    type: int
    question: bytes  # in lower case, as it stands on the wire
    dnssec: bool = False
    checking_disabled: bool = False
    recursion_desired: bool = True
    subnet: Network | None = None  # the client's own

    @classmethod
    def of(cls, name: str, kind: int) -> Query:
        """One that gproxy asks for itself. Raises ValueError for what is no name."""
        return cls(name, kind, wire_question(name, kind))


def wire_question(name: str, kind: int) -> bytes:
    """A question as it stands on the wire. Raises ValueError for what is no name."""
    return encode_name(name) + kind.to_bytes(2, "big") + b"\0\1"


class Found(NamedTuple):
    """An answer, the TTL to give it with, and who has given it."""

    answer: Prepared
    ttl: int
    server: str

    def message(self) -> Message:
        """The answer, taken apart. Raises ProtocolError: not all of it was read before."""
        return parse(self.answer.answer(0, self.answer.question, 0, self.ttl))


class Asking:
    """Asks the servers."""

    def __init__(
        self,
        servers: Mapping[str, Server],
        cache: Cache | None,
        *,
        strategy: Strategy = "",
        timeout: float = 10.0,
        client_subnet: Network | None = None,
    ) -> None:
        """What is said here counts where the question itself says nothing. `timeout` in seconds."""
        self.strategy: Strategy = strategy
        self._servers = servers
        self._cache = cache
        self._timeout = timeout
        self._subnet = client_subnet
        self.exchanges = {tag: Timing() for tag in servers}  # those that were answered
        self.failures: Counter[str] = Counter()  # by server

    def at_once(self, tag: str, query: Query, session: Session, how: LookupOptions) -> Found | None:
        """The answer, as far as it can be had without waiting. It may be called in the hub. Raises DialError."""
        strategy = how.strategy or self.strategy
        if _REFUSED_TYPES.get(strategy) == query.type:
            return _nothing(query, tag)
        server = self._servers[tag]
        if not server.waits:
            answer = prepare(self._ask_now(tag, query, session, how))
            return Found(answer, answer.ttl if how.rewrite_ttl is None else how.rewrite_ttl, tag)
        cache = self._cache_for(server, query, how)
        if cache is None:
            return None
        key = self._key(tag, query, how)
        hit = cache.get(key, stale=not how.disable_optimistic_cache)
        if hit is None:
            return None
        cache.hits += 1
        if hit.due:
            cache.refresh(key, partial(self._ask, tag, query, session, how), rewrite_ttl=how.rewrite_ttl)
        return Found(hit.prepared, hit.ttl, tag)

    def ask(self, tag: str, query: Query, session: Session, how: LookupOptions) -> Found:
        """The answer. Raises DialError with the reason `dns`."""
        if tag in session.asking:
            way = " → ".join(f"`{each}`" for each in (*session.asking, tag))
            raise DialError(f"{query.name}: a DNS server would have to ask itself: {way}", reason="dns")
        strategy = how.strategy or self.strategy
        if _REFUSED_TYPES.get(strategy) == query.type:
            return _nothing(query, tag)
        ask = partial(self._ask, tag, query, session, how)
        cache = self._cache_for(self._servers[tag], query, how)
        if cache is None:
            return _found(ask(), how, tag)
        key = self._key(tag, query, how)
        hit: Hit = cache.through(
            key, ask, stale=not how.disable_optimistic_cache, rewrite_ttl=how.rewrite_ttl
        )  # fmt: skip
        return Found(hit.prepared, hit.ttl, tag)

    def _cache_for(self, server: Server, query: Query, how: LookupOptions) -> Cache | None:
        """A question that a server shall not find the answer of elsewhere is between those two."""
        return None if how.disable_cache or not server.cacheable or not query.recursion_desired else self._cache

    def _key(self, tag: str, query: Query, how: LookupOptions) -> bytes:
        server = tag.encode()
        subnet = self._subnet_for(query, how)
        if subnet is not None:
            server += b"\0" + str(subnet).encode()
        if query.type in _HINTED and (how.strategy or self.strategy) in _REFUSED_TYPES:
            server += b"\0" + (how.strategy or self.strategy).encode()
        return cache_key(server, query.question, do=query.dnssec, checking_disabled=query.checking_disabled)

    def _subnet_for(self, query: Query, how: LookupOptions) -> Network | None:
        if how.remove_client_subnet:
            return None
        return how.client_subnet or self._subnet or query.subnet

    def _ask(self, tag: str, query: Query, session: Session, how: LookupOptions) -> bytes:
        """Raises DialError with the reason `dns`."""
        late = DialError(f"{query.name or 'the root'}: no answer in time from DNS server `{tag}`", reason="dns")
        began = now()
        try:
            with deadline(how.timeout or self._timeout, late):
                answer = self._ask_now(tag, query, session, how)
        except GproxyError:
            self.failures[tag] += 1
            raise
        self.exchanges[tag].observe(now() - began)
        return answer

    def _ask_now(self, tag: str, query: Query, session: Session, how: LookupOptions) -> bytes:
        server = self._servers[tag]
        subnet = self._subnet_for(query, how)
        edns = Edns(DNS_DATAGRAM, query.dnssec)
        if subnet is not None:
            edns = with_subnet(edns, subnet)
        own = _own_session(session, query, tag)
        answer = server.exchange(Ask(query.name, query.type, _message(query, edns), own))
        if answer[3] & 0xF in _NO_EDNS and server.waits:
            answer = server.exchange(Ask(query.name, query.type, _message(query, None), own))
        return self._stripped(answer, query, how)

    def _stripped(self, answer: bytes, query: Query, how: LookupOptions) -> bytes:
        """Without hints of addresses that nobody wants."""
        strategy = how.strategy or self.strategy
        if query.type not in _HINTED or strategy not in _REFUSED_TYPES:
            return answer
        try:
            message = parse(answer)
            return without_hints(message, ipv4=strategy == "ipv6_only", ipv6=strategy == "ipv4_only").encode()
        except ProtocolError as error:
            raise DialError(f"{query.name}: a bad DNS answer: {error}", reason="dns") from error


def _message(query: Query, edns: Edns | None) -> bytes:
    """AD is always asked for: what is remembered is for all, and those who don't ask aren't told (RFC 6840)."""
    return make_query(
        query.name,
        query.type,
        edns=edns,
        recursion_desired=query.recursion_desired,
        authentic=True,
        checking_disabled=query.checking_disabled,
    )


def _own_session(session: Session, query: Query, tag: str) -> Session:
    """On whose behalf a server is asked: nothing of a connection's target is the server's business."""
    return Session(
        session.id,
        session.network,
        session.inbound,
        session.source,
        Address(query.name, 0),
        user=session.user,
        owner=session.owner,
        source_mac=session.source_mac,
        source_hostname=session.source_hostname,
        dscp=session.dscp,
        query_type=query.type,
        asking=(*session.asking, tag),
    )


def _found(answer: bytes, how: LookupOptions, tag: str) -> Found:
    try:
        prepared = prepare(answer)
    except ProtocolError as error:
        raise DialError(f"a bad DNS answer: {error}", reason="dns") from error
    return Found(prepared, prepared.ttl if how.rewrite_ttl is None else how.rewrite_ttl, tag)


def _nothing(query: Query, tag: str) -> Found:
    """What the strategy does not want is not there."""
    message = Message(
        response=True,
        authoritative=True,
        recursion_available=True,
        question=Question(query.name, query.type),
    )
    return Found(prepare(message.encode()), 0, tag)
