"""The resolver: what the rules want done with a question is done here, and who has asked gets the answer."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple

from gproxy.base.address import IP, Address
from gproxy.base.clock import now
from gproxy.base.defaults import DNS_DATAGRAM
from gproxy.base.errors import DialError, GproxyError, ProtocolError, Rejected, Unsupported
from gproxy.base.iface import Later, Soon
from gproxy.base.session import DEFAULT_LOOKUP, LookupOptions, Session, Sniffed, copy_of
from gproxy.dns.asking import Asking, Query
from gproxy.dns.conditions import Asked
from gproxy.dns.errand import Errand, Found
from gproxy.dns.reverse import Reverse
from gproxy.dns.rules import Launch, Predefined, Refuse, Respond, Route, Rules, Wait
from gproxy.limit.bucket import TokenBucket
from gproxy.net.resolve import order
from gproxy.route.facts import Facts
from gproxy.rt.group import Group
from gproxy.rt.sockets import Gate
from gproxy.wire.dns import types
from gproxy.wire.dns.asked import read_asked
from gproxy.wire.dns.message import (
    AUTHENTIC,
    CHECKING_DISABLED,
    HEAD,
    RECURSION_DESIRED,
    Edns,
    Message,
    Question,
    addresses_of,
    encode_opt,
    error_reply,
    parse,
    parse_query,
)
from gproxy.wire.dns.name import skip_name
from gproxy.wire.dns.prepared import Prepared
from gproxy.wire.dns.subnet import Subnet, encode_subnet, subnet_of

_log = logging.getLogger("gproxy.dns")

_COMPLAINTS: Final = 1.0
"""How many failures a second are told of at the usual level, after ten times as many at once."""

_BOTH: Final = (types.A, types.AAAA)
_FAMILIES: Final[Mapping[str, tuple[int, ...]]] = {"ipv4_only": (types.A,), "ipv6_only": (types.AAAA,)}

_NOT_FOR_US: Final = frozenset((types.OPT, *range(types.TKEY, types.ANY)))
"""Types that are about the way a question goes, or ask for a whole zone."""


_ID_AND_FLAGS = struct.Struct("!HH")
_IN: Final = b"\0\1"
_NO_DNSSEC: Final = Edns(DNS_DATAGRAM)
_DNSSEC: Final = Edns(DNS_DATAGRAM, do=True)
_REMEMBERED: Final = 4096
_READ: Final = 1024


class Answered(NamedTuple):
    """An answer, with who has given it (empty: the configuration itself) and the rule that has led there."""

    found: Found | Message
    rule: str

    @property
    def server(self) -> str:
        """The server's tag."""
        return self.found.server if isinstance(self.found, Found) else ""

    def message(self) -> Message:
        """The answer, taken apart. Raises DialError for a bad one."""
        if isinstance(self.found, Message):
            return self.found
        try:
            return self.found.message()
        except ProtocolError as error:
            raise DialError(f"a bad DNS answer: {error}", reason="dns") from error


class _Client:
    """A client's query, and how its answer is written."""

    __slots__ = ("_asked", "_edns", "_flags", "_id", "_question", "query", "session")

    def __init__(
        self, raw: bytes, end: int, kind: int, edns: Edns | None, subnet: Subnet | None, session: Session
    ) -> None:
        """`end`: where the question ends."""
        self._id, flags = _ID_AND_FLAGS.unpack_from(raw)
        self._question = raw[HEAD:end]
        lower = raw[HEAD : end - 4].lower() + raw[end - 4 : end]  # a label's length is below any letter
        self._edns = edns
        dnssec = edns is not None and edns.do
        self._flags = flags | AUTHENTIC if dnssec else flags
        network = None if subnet is None or not subnet.network.prefixlen else subnet.network
        checking_disabled, desired = flags & CHECKING_DISABLED != 0, flags & RECURSION_DESIRED != 0
        self.query = Query(kind, lower, dnssec, checking_disabled, desired, network)
        self.session = session
        self._asked: Asked | None = None

    @property
    def asked(self) -> Asked:
        """The question as rules see it."""
        if self._asked is None:
            self._asked = _asked(self.query, self.session)
        return self._asked

    def reply(self, answered: Answered) -> bytes:
        """The whole answer for this client."""
        found = answered.found
        if isinstance(found, Found):
            opt = b"" if self._edns is None else _opt_of(self._edns, found.answer.rcode)
            return found.answer.answer(self._id, self._question, self._flags, found.ttl, opt)
        rcode = found.rcode if self._edns is not None or found.rcode < 16 else types.SERVFAIL
        written = replace(
            found,
            id=self._id,
            rcode=rcode,
            recursion_desired=self._flags & RECURSION_DESIRED != 0,
            checking_disabled=self._flags & CHECKING_DISABLED != 0,
            edns=self._edns,
        ).encode()
        return written[:HEAD] + self._question + written[HEAD + len(self._question) :]


class _Way(NamedTuple):
    """Who brings the answer, and the rule that says so."""

    errand: Errand
    rule: str


class _Later(Soon):
    """See Later: what a client's question still waits for."""

    __slots__ = ("_began", "_client", "_query", "_resolver", "_way")

    def __init__(self, resolver: DnsResolver, query: bytes, client: _Client, way: _Way | None) -> None:
        self._resolver = resolver
        self._query = query
        self._client = client
        self._way = way
        self._began = now()

    def soon(self, ready: Callable[[], object], /) -> bool:
        """See Soon."""
        return self._way is not None and self._way.errand.soon(ready)

    def __call__(self) -> bytes:
        """See Later."""
        resolver, client, way = self._resolver, self._client, self._way
        try:
            answered = resolver.find(client) if way is None else Answered(way.errand.found(), way.rule)
        except GproxyError as error:
            return resolver.refused(self._query, client, error)
        return resolver.given(client, answered, self._began)


_opt_of = lru_cache(_REMEMBERED)(encode_opt)


def _read_whole(raw: bytes, session: Session) -> _Client | bytes:
    """A query of which all has to be read, or the answer that it gets without being looked at.

    Raises ProtocolError; Unsupported for other opcodes.
    """
    message = parse_query(raw)
    question = message.question
    assert question is not None, "parse_query sees to that"
    edns = message.edns
    if edns is not None and edns.version:
        return error_reply(raw, types.BADVERS)
    if question.cls != types.IN or question.type in _NOT_FOR_US:
        return error_reply(raw, types.REFUSED)
    subnet = subnet_of(edns)
    if edns is not None:
        # RFC 7871 section 7.2.1: what is remembered for this network is for all of it.
        options = () if subnet is None else ((types.CLIENT_SUBNET, _echo(subnet)),)
        edns = Edns(DNS_DATAGRAM, edns.do, 0, options)
    return _Client(raw, skip_name(raw, HEAD) + 4, question.type, edns, subnet, session)


def _echo(subnet: Subnet) -> bytes:
    return encode_subnet(Subnet(subnet.network, subnet.network.prefixlen))


def _asked(query: Query, session: Session) -> Asked:
    """The question as rules see it."""
    sniffed = session.sniffed
    if sniffed is not None and sniffed.domain:
        sniffed = Sniffed(sniffed.protocol, "", sniffed.client)
    own = copy_of(session)
    own.target, own.asked, own.addresses = Address(query.name, 0), None, ()
    own.sniffed, own.query_type = sniffed, query.type
    return Asked(query.name, query.type, own, query.dnssec, query.subnet)


class _Pending:
    """See Future: what was asked for while the walk went on."""

    __slots__ = ("_gate", "answer", "done", "error", "found")

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.done = False
        self.answer: Message | None = None
        self.found: Found | None = None
        self.error: GproxyError | None = None

    def run(self, asking: Asking, tag: str, query: Query, session: Session, how: LookupOptions) -> None:
        """Ask, in a greenlet of its own."""
        try:
            self.settle(asking.ask(tag, query, session, how))
        except (GproxyError, ProtocolError) as error:
            _log.debug("%s: %s", query.name, error)
            self.error = error
            self.done = True
        self._gate.open()

    def settle(self, found: Found) -> None:
        """Raises ProtocolError."""
        self.answer = found.message()
        self.found = found
        self.done = True


class DnsResolver:
    """See Resolver."""

    def __init__(
        self,
        asking: Asking,
        rules: Rules,
        final: str,
        *,
        facts: Facts | None = None,
        reverse: Reverse | None = None,
        alike: Callable[[], bool] = lambda: False,
    ) -> None:
        """`final`: tag of the server for what the rules leave open. `alike`: whether no rule looks at who asks now,
        but for the inbound. `facts`: what rules need to be known of clients.
        """
        self._asking = asking
        self._rules = rules
        self._final = final
        self._facts = facts
        self._reverse = reverse
        self._alike = alike
        self._complaints = TokenBucket(_COMPLAINTS, 10 * _COMPLAINTS)
        self.queries = 0  # of clients

    # -- for clients --------------------------------------------------------------------------------------------------

    def exchange(self, query: bytes, session: Session, /) -> bytes:
        """See Resolver. A failure to find the answer is told as SERVFAIL."""
        client = self._read(query, session)
        return client if isinstance(client, bytes) else _Later(self, query, client, None)()

    def begin(self, query: bytes, session: Session, /) -> bytes | Later:
        """See Resolver."""
        client = self._read(query, session)
        if isinstance(client, bytes):
            return client
        try:
            found = self._find_at_once(client, DEFAULT_LOOKUP)
        except GproxyError as error:
            return self.refused(query, client, error)
        return self.given(client, found, 0.0) if isinstance(found, Answered) else _Later(self, query, client, found)

    def find(self, client: _Client) -> Answered:
        """The answer for a client. Raises GproxyError."""
        return self._resolve(client.query, client.asked, DEFAULT_LOOKUP, internal=False)

    def refused(self, query: bytes, client: _Client, error: GproxyError) -> bytes:
        """What a client gets when there is no answer."""
        if isinstance(error, Rejected):
            return b"" if error.drop else error_reply(query, types.REFUSED)
        return self._failed(query, client, error)

    def _failed(self, query: bytes, client: _Client, error: GproxyError) -> bytes:
        """With a server down, a line for each question would be thousands a second: the debug level has them all."""
        level = logging.INFO if self._complaints.take() else logging.DEBUG
        _log.log(level, "%s %s: %s", client.query.name, types.type_name(client.query.type), error)
        return error_reply(query, types.SERVFAIL)

    def alike(self, inbound: str, /) -> bool:
        """See Resolver."""
        return self._alike()

    def _read(self, query: bytes, session: Session) -> _Client | bytes:
        """A client's query, or the answer that it gets without being looked at."""
        self.queries += 1
        asked = read_asked(query)
        try:
            if asked is None or asked.options:
                return _read_whole(query, session)
            end = asked.end
            if query[end - 2 : end] != _IN or asked.type in _NOT_FOR_US:
                return error_reply(query, types.REFUSED)
            edns = None
            if asked.edns:
                if query[end + 6]:  # the version
                    return error_reply(query, types.BADVERS)
                edns = _DNSSEC if query[end + 7] & 0x80 else _NO_DNSSEC
            return _Client(query, end, asked.type, edns, None, session)
        except Unsupported:
            return error_reply(query, types.NOTIMP)
        except ProtocolError:
            return error_reply(query, types.FORMERR)

    def given(self, client: _Client, answered: Answered, began: float) -> bytes:
        """The whole answer for a client. `began`: since when it was looked for, 0 if it was not."""
        if _log.isEnabledFor(logging.DEBUG):
            spent = (now() - began) * 1000 if began else 0.0
            name, kind = client.query.name, types.type_name(client.query.type)
            _log.debug("%s %s: %s, server %s, %.1f ms", name, kind, answered.rule, answered.server or "none", spent)
        if self._reverse is not None and client.query.type in _BOTH:
            try:
                self._reverse.note(answered.message(), answered.found.ttl if isinstance(answered.found, Found) else 0)
            except DialError as error:
                _log.debug("%s: %s", client.query.name, error)
        return client.reply(answered)

    # -- for gproxy itself --------------------------------------------------------------------------------------------

    def lookup(self, domain: str, session: Session, how: LookupOptions = DEFAULT_LOOKUP, /) -> tuple[IP, ...]:
        """See Resolver. A and AAAA are asked for at the same time."""
        strategy = how.strategy or self._asking.strategy
        kinds = _FAMILIES.get(strategy, _BOTH)
        jobs = [_Job(self, domain, kind, session, how) for kind in kinds]
        waiting = [job for job in jobs if not job.try_at_once()]
        if len(waiting) == 2:
            with Group("lookup") as group:
                other = group.spawn(waiting[0].run)
                waiting[1].run()
                other.join()
        elif waiting:
            waiting[0].run()
        addresses = order((ip for job in jobs for ip in job.addresses), strategy)
        if not addresses:
            raise next(
                (job.error for job in jobs if job.error is not None), DialError(f"{domain}: no address", reason="dns")
            )
        return addresses

    def ask(
        self,
        domain: str,
        kind: int,
        session: Session,
        how: LookupOptions = DEFAULT_LOOKUP,
        /,
        *,
        internal: bool = True,
    ) -> Answered:
        """The answer to a question of gproxy's own; not `internal`: to one as a client could have it.

        Raises DialError with the reason `dns`, and Rejected.
        """
        query = _query(domain, kind)
        return self._resolve(query, _asked(query, session), how, internal=internal)

    def ask_at_once(
        self, domain: str, kind: int, session: Session, how: LookupOptions = DEFAULT_LOOKUP, /
    ) -> Answered | None:
        """The same, as far as it can be had without waiting; None otherwise."""
        query = _query(domain, kind)
        found = self._walk_at_once(query, _asked(query, session), how, internal=True)
        return found if isinstance(found, Answered) else None

    def name_of(self, ip: IP) -> str:
        """The name that led a client to this address; empty if none is known, or it is not to be remembered."""
        return "" if self._reverse is None else self._reverse.name_of(ip)

    # -- the walk -----------------------------------------------------------------------------------------------------

    def _resolve(self, query: Query, asked: Asked, how: LookupOptions, *, internal: bool) -> Answered:
        """Raises DialError with the reason `dns`, and Rejected."""
        if how.server:
            return Answered(self._asking.ask(how.server, query, asked.session, how), "")
        if not self._rules:
            return Answered(self._asking.ask(self._final, query, asked.session, how), "final")
        if self._facts is not None and self._facts.needs.some:
            self._facts.collect(asked.session)
        gate = Gate()
        group: Group | None = None
        walk = self._rules.walk(asked, how, internal=internal)
        try:
            step = next(walk)
            while True:
                told: Any = None
                if isinstance(step, Launch):
                    told = _Pending(gate)
                    group = group or Group("dns walk")
                    group.spawn(told.run, self._asking, step.server, query, asked.session, step.how)
                elif isinstance(step, Wait):
                    while not any(future.done for future in step.futures):
                        gate.wait()
                elif isinstance(step, Route):
                    answered = Answered(self._routed(step, query, asked, gate), step.name)
                    if _accepts(step, asked, answered):
                        return answered
                else:
                    return self._ended(step, query)
                step = walk.send(told)
        finally:
            walk.close()
            if group is not None:
                group.kill()

    def _routed(self, step: Route, query: Query, asked: Asked, gate: Gate) -> Found:
        if step.future is None:
            return self._asking.ask(step.server or self._final, query, asked.session, step.how)
        while not step.future.done:
            gate.wait()
        return _of(step.future, query)

    def _find_at_once(self, client: _Client, how: LookupOptions) -> Answered | _Way | None:
        """The same without waiting: the answer, or the errand that brings it. Raises DialError and Rejected."""
        if self._rules:
            return self._walk_at_once(client.query, client.asked, how, internal=False)
        found = self._asking.at_once(self._final, client.query, client.session, how)
        return _Way(found, "final") if isinstance(found, Errand) else Answered(found, "final")

    def _walk_at_once(
        self, query: Query, asked: Asked, how: LookupOptions, *, internal: bool
    ) -> Answered | _Way | None:
        at_once = partial(self._asking.at_once, query=query, session=asked.session)
        if how.server or not self._rules:
            rule = "" if how.server else "final"
            found = at_once(how.server or self._final, how=how)
            return _Way(found, rule) if isinstance(found, Errand) else Answered(found, rule)
        if self._facts is not None and self._facts.needs.some:
            return None  # what the rules look at has to be found out first
        walk = self._rules.walk(asked, how, internal=internal)
        try:
            step = next(walk)
            while True:
                told: Any = None
                if isinstance(step, Wait):
                    return None
                if isinstance(step, Launch | Route):
                    found = at_once(step.server or self._final, how=step.how)
                    if isinstance(found, Errand):
                        return _Way(found, step.name) if isinstance(step, Route) and not _filters(step) else None
                    if isinstance(step, Launch):
                        told = _Pending(_NOBODY)
                        told.settle(found)
                    else:
                        answered = Answered(found, step.name)
                        if _accepts(step, asked, answered):
                            return answered
                else:
                    return self._ended(step, query)
                step = walk.send(told)
        finally:
            walk.close()

    @staticmethod
    def _ended(step: Respond | Refuse | Predefined, query: Query) -> Answered:
        if isinstance(step, Refuse):
            raise step.error()
        if isinstance(step, Predefined):
            return Answered(step.message(Question(query.name, query.type)), step.name)
        return Answered(_of(step.future, query), step.name)


def _filters(step: Route) -> bool:
    """Whether the answer decides if it is given."""
    return step.rule is not None and step.rule.filters()


def _accepts(step: Route, asked: Asked, answered: Answered) -> bool:
    return step.rule is None or not step.rule.filters() or step.rule.accepts(asked, answered.message())


_NOBODY: Final[Any] = type("_Nobody", (), {"open": staticmethod(lambda: None)})()


def _of(future: Any, query: Query) -> Found:
    """What was found meanwhile. Raises what went wrong."""
    if future is None or future.found is None:
        if future is not None and future.error is not None:
            raise future.error
        raise DialError(f"{query.name}: there is no answer to respond with", reason="dns")
    found: Found = future.found
    return found


def _query(domain: str, kind: int) -> Query:
    try:
        return Query.of(domain, kind)
    except ValueError as error:
        raise DialError(f"{domain}: {error}", reason="dns") from error


class _Job:
    """One of the two halves of a look-up."""

    __slots__ = ("_domain", "_how", "_kind", "_resolver", "_session", "addresses", "error")

    def __init__(self, resolver: DnsResolver, domain: str, kind: int, session: Session, how: LookupOptions) -> None:
        self._resolver = resolver
        self._domain = domain
        self._kind = kind
        self._session = session
        self._how = how
        self.addresses: tuple[IP, ...] = ()
        self.error: GproxyError | None = None

    def try_at_once(self) -> bool:
        """Whether it is done."""
        try:
            answered = self._resolver.ask_at_once(self._domain, self._kind, self._session, self._how)
            if answered is None:
                return False
            self._take(answered)
        except GproxyError as error:
            self.error = error
        return True

    def run(self) -> None:
        """Ask and wait."""
        try:
            self._take(self._resolver.ask(self._domain, self._kind, self._session, self._how))
        except GproxyError as error:
            self.error = error

    def _take(self, answered: Answered) -> None:
        found = answered.found
        rcode = found.answer.rcode if isinstance(found, Found) else found.rcode
        if rcode == types.NOERROR:
            self.addresses = _addresses(found.answer) if isinstance(found, Found) else addresses_of(found)
        else:
            self.error = DialError(f"{self._domain}: {_said(rcode, answered.server)}", reason="dns")


@lru_cache(_READ)
def _addresses(answer: Prepared) -> tuple[IP, ...]:
    """What an answer says, which many look-ups find in the cache. Raises DialError for a bad one."""
    try:
        return addresses_of(parse(answer.answer(0, answer.question, 0, 0)))
    except ProtocolError as error:
        raise DialError(f"a bad DNS answer: {error}", reason="dns") from error


def _said(rcode: int, server: str) -> str:
    what = "no such name" if rcode == types.NXDOMAIN else types.rcode_name(rcode)
    return f"{what}, says DNS server `{server}`" if server else f"{what}, says a DNS rule"
