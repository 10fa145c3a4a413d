"""One question to one server: from the cache, or by asking it, within its time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Final

from gproxy.base.address import Address
from gproxy.base.clock import now
from gproxy.base.defaults import DNS_DATAGRAM
from gproxy.base.errors import DialError, GproxyError, ProtocolError
from gproxy.base.session import LookupOptions, Session, Strategy
from gproxy.dns.cache import Cache, lower_key
from gproxy.dns.errand import Errand, Found
from gproxy.dns.iface import Ask, Server, Starting, Told, UnderWay
from gproxy.observe.timing import Timing
from gproxy.route.cidrs import Network
from gproxy.rt.deadline import deadline
from gproxy.rt.due import Due
from gproxy.wire.dns import types
from gproxy.wire.dns.message import HEAD, Edns, Message, Question, encode_opt, parse, query_head
from gproxy.wire.dns.name import encode_name, read_name
from gproxy.wire.dns.prepared import prepare
from gproxy.wire.dns.subnet import with_subnet
from gproxy.wire.dns.svcb import without_hints

_NO_EDNS: Final = frozenset({types.FORMERR, types.NOTIMP})
"""What a server says that does not know EDNS (RFC 6891 section 7)."""

_REFUSED_TYPES: Final[Mapping[Strategy, int]] = {"ipv4_only": types.AAAA, "ipv6_only": types.A}
_HINTED: Final = frozenset({types.HTTPS, types.SVCB})
_REMEMBERED: Final = 4096
_LEAST: Final = 0.001  # seconds: a deadline of none would be no deadline

_OPT: Final = encode_opt(Edns(DNS_DATAGRAM))
_OPT_DNSSEC: Final = encode_opt(Edns(DNS_DATAGRAM, do=True))

# AD is always asked for: what is remembered is for all, and those who don't ask aren't told (RFC 6840).
_HEADS: Final = {
    (recursion, unchecked, additional): query_head(
        recursion_desired=recursion, authentic=True, checking_disabled=unchecked, additional=additional
    )
    for recursion in (False, True)
    for unchecked in (False, True)
    for additional in (0, 1)
}

Start = Callable[[bytes, bytes, Told], UnderWay | None]
"""See Starting."""


@dataclass(slots=True)  # frozen ones take five times as long to make, and there is one for each question
class Query:
    """A question as it is put to servers; nobody changes it."""

    type: int
    question: bytes  # in lower case, as it stands on the wire
    dnssec: bool = False
    checking_disabled: bool = False
    recursion_desired: bool = True
    subnet: Network | None = None  # the client's own

    @property
    def name(self) -> str:
        """The name as in `gproxy.wire.dns.name`. Most questions are answered without it."""
        return _name_of(self.question[:-4])

    @classmethod
    def of(cls, name: str, kind: int) -> Query:
        """One that gproxy asks for itself. Raises ValueError for what is no name."""
        return cls(kind, wire_question(name, kind))


@lru_cache(_REMEMBERED)
def _name_of(wire: bytes) -> str:
    return read_name(bytes(HEAD) + wire, HEAD)[0]


def wire_question(name: str, kind: int) -> bytes:
    """A question as it stands on the wire. Raises ValueError for what is no name."""
    return encode_name(name) + kind.to_bytes(2, "big") + b"\0\1"


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
        self._keys = {tag: tag.encode() for tag in servers}
        self.exchanges = {tag: Timing() for tag in servers}  # those that were answered
        self.failures: Counter[str] = Counter()  # by server
        self._starts: dict[str, Start | None] = {}  # of those that can be asked without waiting
        self._due: dict[float, Due] = {}  # by the seconds that a question has: rules say a few different ones

    def at_once(self, tag: str, query: Query, session: Session, how: LookupOptions) -> Found | Errand:
        """The answer, as far as there is one without waiting; else what asks. In the hub, too. Raises DialError."""
        strategy = how.strategy or self.strategy
        if strategy and _REFUSED_TYPES.get(strategy) == query.type:
            return _nothing(query, tag)
        server = self._servers[tag]
        if not server.waits:
            answer = prepare(self._ask_now(tag, query, session, how))
            return Found(answer, answer.ttl if how.rewrite_ttl is None else how.rewrite_ttl, tag)
        cache = self._cache_for(server, query, how)
        if cache is None:
            return Errand(self, tag, query, session, how, None, b"")
        key = self._key(tag, query, how)
        hit = cache.get(key, stale=not how.disable_optimistic_cache)
        if hit is None:
            return Errand(self, tag, query, session, how, cache, key)
        cache.hits += 1
        if hit.due:
            cache.refresh(key, partial(self.exchange, tag, query, session, how), rewrite_ttl=how.rewrite_ttl)
        return Found(hit.prepared, hit.ttl, tag)

    def ask(self, tag: str, query: Query, session: Session, how: LookupOptions) -> Found:
        """The answer. Raises DialError with the reason `dns`."""
        strategy = how.strategy or self.strategy
        if strategy and _REFUSED_TYPES.get(strategy) == query.type:
            return _nothing(query, tag)
        cache = self._cache_for(self._servers[tag], query, how)
        key = b"" if cache is None else self._key(tag, query, how)
        return Errand(self, tag, query, session, how, cache, key).found()

    def start(self, tag: str) -> Start | None:
        """How this server is asked without waiting, if that can be."""
        if tag not in self._starts:
            server = self._servers[tag]
            self._starts[tag] = server.start if isinstance(server, Starting) else None
        return self._starts[tag]

    def due(self, how: LookupOptions) -> Due:
        """Those who have as much time as this says."""
        seconds = how.timeout or self._timeout
        due = self._due.get(seconds)
        if due is None:
            due = self._due[seconds] = Due(seconds)
        return due

    def too_late(self, tag: str, query: Query) -> DialError:
        """What becomes of a question that has had no answer."""
        return DialError(f"{query.name or 'the root'}: no answer in time from DNS server `{tag}`", reason="dns")

    def without_edns(self, answer: bytes) -> bool:
        """Whether this is the answer of a server that has to be asked without EDNS."""
        return answer[3] & 0xF in _NO_EDNS

    def _cache_for(self, server: Server, query: Query, how: LookupOptions) -> Cache | None:
        """A question that a server shall not find the answer of elsewhere is between those two."""
        return None if how.disable_cache or not server.cacheable or not query.recursion_desired else self._cache

    def _key(self, tag: str, query: Query, how: LookupOptions) -> bytes:
        server = self._keys[tag]
        subnet = self._subnet_for(query, how)
        if subnet is not None:
            server += b"\0" + str(subnet).encode()
        if query.type in _HINTED and (how.strategy or self.strategy) in _REFUSED_TYPES:
            server += b"\0" + (how.strategy or self.strategy).encode()
        return lower_key(server, query.question, query.dnssec, query.checking_disabled)

    def _subnet_for(self, query: Query, how: LookupOptions) -> Network | None:
        if how.remove_client_subnet:
            return None
        return how.client_subnet or self._subnet or query.subnet

    def exchange(
        self, tag: str, query: Query, session: Session, how: LookupOptions, *, began: float = 0.0, said: bytes = b""
    ) -> bytes:
        """Ask the server, and wait: the answer, a whole message. Raises DialError with the reason `dns`.

        `began`: it goes on since then; `said`: what the server has said meanwhile.
        """
        at = now()
        began = began or at
        left = max((how.timeout or self._timeout) - (at - began), _LEAST)
        try:
            with deadline(left, self.too_late(tag, query)):
                answer = self._ask_now(tag, query, session, how, said)
        except GproxyError:
            self.failures[tag] += 1
            raise
        self.exchanges[tag].observe(now() - began)
        return answer

    def _ask_now(self, tag: str, query: Query, session: Session, how: LookupOptions, said: bytes = b"") -> bytes:
        server = self._servers[tag]
        own = _own_session(session, query, tag)
        answer = said or server.exchange(Ask(query.name, query.type, self.message(query, how), own))
        if server.waits and self.without_edns(answer):
            head = _HEADS[query.recursion_desired, query.checking_disabled, 0]
            answer = server.exchange(Ask(query.name, query.type, head + query.question, own))
        return self.stripped(answer, query, how)

    def message(self, query: Query, how: LookupOptions) -> bytes:
        """The query as it leaves, see Ask."""
        subnet = self._subnet_for(query, how)
        if subnet is not None:
            opt = encode_opt(with_subnet(Edns(DNS_DATAGRAM, query.dnssec), subnet))
        else:
            opt = _OPT_DNSSEC if query.dnssec else _OPT
        return _HEADS[query.recursion_desired, query.checking_disabled, 1] + query.question + opt

    def stripped(self, answer: bytes, query: Query, how: LookupOptions) -> bytes:
        """Without hints of addresses that nobody wants."""
        if query.type not in _HINTED:
            return answer
        strategy = how.strategy or self.strategy
        if strategy not in _REFUSED_TYPES:
            return answer
        try:
            message = parse(answer)
            return without_hints(message, ipv4=strategy == "ipv6_only", ipv6=strategy == "ipv4_only").encode()
        except ProtocolError as error:
            raise DialError(f"{query.name}: a bad DNS answer: {error}", reason="dns") from error


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


def _nothing(query: Query, tag: str) -> Found:
    """What the strategy does not want is not there."""
    message = Message(
        response=True,
        authoritative=True,
        recursion_available=True,
        question=Question(query.name, query.type),
    )
    return Found(prepare(message.encode()), 0, tag)
