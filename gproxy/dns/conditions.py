"""From the options of a DNS rule to what says whether a question matches, before there is an answer and after it.

A rule that looks at the addresses of an answer that is yet to be asked for can only be *possible* at first: its server
is asked, and then its condition holds or does not. What has no such item is decided at once. Such items are left out of
a first look in the way that sing-box has it: where a rule names domains too, these decide alone.
"""

# ruff: noqa: SIM110 - all() and any() would make a generator for each question

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from ipaddress import ip_network
from typing import Any, Protocol

from gproxy.base.address import IP, ip_from_packed
from gproxy.base.errors import ProtocolError
from gproxy.base.session import Session
from gproxy.dns.iface import Searching, Server
from gproxy.dns.options import ADDRESSES, NAMES, DnsConditions
from gproxy.route.cidrs import Network
from gproxy.route.compile import condition
from gproxy.route.context import Context, Match, RuleSet
from gproxy.route.options import Combination
from gproxy.schema.model import Options
from gproxy.wire.dns import types
from gproxy.wire.dns.message import Message, Record
from gproxy.wire.dns.name import split_name
from gproxy.wire.dns.svcb import hints_of

_ANY_ADDRESS = (ip_network("0.0.0.0/0"), ip_network("::/0"))
_VERSIONS = {4: types.A, 6: types.AAAA}


class Verdict(IntEnum):
    """Whether a condition holds, before there is an answer."""

    NO = 0
    YES = 1
    POSSIBLE = 2  # its addresses will tell


@dataclass(slots=True)
class Asked:
    """A question as rules see it, and the answers that `evaluate` has got for it so far, by their tags.

    `session` is the question's own: its target is the name, and rules may have `addresses` written into it.
    """

    name: str
    type: int
    session: Session
    dnssec: bool = False
    subnet: Network | None = None
    answers: Mapping[str, Message | None] = field(default_factory=dict)


class Condition(Protocol):
    """A rule's condition.

    `necessary`: what can't be false of the question's session where the condition holds, if that can be said in short.
    """

    @property
    def necessary(self) -> Match | None: ...

    def matches(self, asked: Asked, answer: Message | None = None) -> bool:
        """Whether it holds; `answer` is the one that a filter looks at, after its server was asked."""

    def ahead(self, asked: Asked) -> Verdict:
        """Whether it holds, as far as that can be said before that answer is there."""

    def filters(self) -> bool:
        """Whether it looks at such an answer."""


def compile_condition(options: Options, context: Context, servers: Mapping[str, Server]) -> Condition:
    """The condition of a DNS rule, or of one within a logical rule. `servers` are filled before the first question."""
    if isinstance(options, Combination):
        parts = [compile_condition(each, context, servers) for each in options.rules]
        return _Joined(parts, every=options.mode == "and", invert=options.invert)
    assert isinstance(options, DnsConditions)
    return _Plain(options, context, servers)


def addresses_in(answer: Message) -> tuple[IP, ...]:
    """All addresses in the answer section, those that are only hinted at among them; none of a failure."""
    if answer.rcode != types.NOERROR:
        return ()
    found: list[IP] = []
    for record in answer.answer:
        if (record.type, len(record.data)) in ((types.A, 4), (types.AAAA, 16)):
            found.append(ip_from_packed(record.data))
        elif record.type in (types.HTTPS, types.SVCB):
            try:
                found.extend(hints_of(record.data))
            except ProtocolError:
                continue
    return tuple(found)


_Own = Callable[[Asked], bool]
_Looks = Callable[[Message], bool]


class _Plain:
    """A default rule's condition."""

    __slots__ = ("_accept_empty", "_ahead", "_apart", "_deferred", "_filters", "_invert", "_looks", "_own", "_sets",
                 "_shared", "_shared_but_sets", "_tag", "necessary")  # fmt: skip

    def __init__(self, options: DnsConditions, context: Context, servers: Mapping[str, Server]) -> None:
        self._own = tuple(_own_items(options, servers))
        self._looks = tuple(_looks_of(options))
        self._invert = options.invert
        said = options.match_response
        self._tag = None if said is False else "" if said is True else str(said)
        self._filters = options.filters()
        by_source = options.rule_set_ip_cidr_match_source
        names = () if by_source or self._tag is not None else options.rule_set
        self._sets: tuple[RuleSet, ...] = tuple(context.rule_sets[tag] for tag in names)
        self._accept_empty = options.rule_set_ip_cidr_accept_empty
        # As in sing-box: beside addresses, names decide alone at first.
        self._deferred = self._filters and not any(getattr(options, key) for key in NAMES)
        everywhere = _ANY_ADDRESS if options.ip_accept_any else ()
        whole = _changed(
            options, invert=False, ip_version=None, preferred_by=(), ip_cidr=(*options.ip_cidr, *everywhere)
        )
        blind = _changed(whole, **{key: type(getattr(whole, key))() for key in ADDRESSES})
        self._shared = condition(whole, context)
        self._shared_but_sets = condition(_changed(whole, rule_set=()), context)
        # In a first look: without addresses; the same without rule sets and names, which addresses may do without.
        self._ahead = condition(blind, context) if self._may_filter() else self._shared
        sure = self._tag is None and not options.rule_set and not options.invert
        self.necessary: Match | None = self._ahead if sure else None
        self._apart = condition(_changed(blind, **dict.fromkeys(NAMES, ()), rule_set=()), context)

    def _may_filter(self) -> bool:
        return self._filters or bool(self._sets)

    def filters(self) -> bool:
        return self._filters or self._sets_filter()

    def _sets_filter(self) -> bool:
        for rule_set in self._sets:
            if rule_set.addresses:
                return True
        return False

    def matches(self, asked: Asked, answer: Message | None = None) -> bool:
        return self._holds(asked, answer) != self._invert

    def _holds(self, asked: Asked, answer: Message | None) -> bool:
        if self._tag is not None:
            answer = asked.answers.get(self._tag)
            if answer is None:
                return False
            for look in self._looks:
                if not look(answer):
                    return False
        for item in self._own:
            if not item(asked):
                return False
        if answer is None:
            return self._shared(asked.session)
        session = asked.session
        session.addresses = addresses_in(answer)
        try:
            if self._accept_empty and not session.addresses and self._sets_filter():
                return self._shared_but_sets(session)
            return self._shared(session)
        finally:
            session.addresses = ()

    def ahead(self, asked: Asked) -> Verdict:
        if not self._may_filter():
            return Verdict(self.matches(asked))
        for item in self._own:
            if not item(asked):
                return _verdict(holds=False, invert=self._invert)
        if self._sets_filter():
            if self._ahead(asked.session) and not self._deferred:
                return _verdict(holds=True, invert=self._invert)
            if self._apart(asked.session):
                return Verdict.POSSIBLE
            return _verdict(holds=False, invert=self._invert)
        holds = self._ahead(asked.session)
        if holds and self._deferred:
            return Verdict.POSSIBLE
        return _verdict(holds=holds, invert=self._invert)


class _Joined:
    """A logical rule's condition."""

    __slots__ = ("_every", "_invert", "_parts")

    necessary: Match | None = None

    def __init__(self, parts: Sequence[Condition], *, every: bool, invert: bool) -> None:
        self._parts = tuple(parts)
        self._every = every
        self._invert = invert

    def filters(self) -> bool:
        return any(part.filters() for part in self._parts)

    def matches(self, asked: Asked, answer: Message | None = None) -> bool:
        every = self._every
        for part in self._parts:
            if part.matches(asked, answer) != every:
                return every == self._invert
        return every != self._invert

    def ahead(self, asked: Asked) -> Verdict:
        """What decides is one part's no where every one must hold, or one part's yes where any is enough."""
        decisive = Verdict.NO if self._every else Verdict.YES
        possible = False
        for part in self._parts:
            verdict = part.ahead(asked)
            if verdict is decisive:
                return _verdict(holds=not self._every, invert=self._invert)
            possible = possible or verdict is Verdict.POSSIBLE
        return Verdict.POSSIBLE if possible else _verdict(holds=self._every, invert=self._invert)


def _verdict(*, holds: bool, invert: bool) -> Verdict:
    return Verdict.YES if holds != invert else Verdict.NO


def _changed(options: DnsConditions, **changes: Any) -> Any:
    """The same items but for these: in the end only those that rules of `route` have, too."""
    return replace(options, **changes)


def _own_items(options: DnsConditions, servers: Mapping[str, Server]) -> Iterator[_Own]:
    if options.ip_version is not None:
        yield _TypeItem([_VERSIONS[options.ip_version]]).match
    if options.query_type:
        yield _TypeItem(options.query_type).match
    if options.query_dnssec:
        yield _dnssec
    if options.query_client_subnet:
        yield _SubnetItem(options.query_client_subnet).match
    if options.domain_label_count:
        yield _LabelsItem(options.domain_label_count).match
    if options.search_domain_available:
        yield _SearchItem(options.search_domain_available, servers).match
    if options.preferred_by:
        yield _PreferredItem(options.preferred_by, servers).match


def _looks_of(options: DnsConditions) -> Iterator[_Looks]:
    if options.response_rcode is not None:
        yield _CodeLook(options.response_rcode).match
    if options.response_answer:
        yield _RecordLook(options.response_answer, lambda answer: answer.answer).match
    if options.response_ns:
        yield _RecordLook(options.response_ns, lambda answer: answer.authority).match
    if options.response_extra:
        yield _RecordLook(options.response_extra, lambda answer: answer.additional).match


class _TypeItem:
    """The question is for one of these types."""

    __slots__ = ("_types",)

    def __init__(self, wanted: Sequence[int]) -> None:
        self._types = frozenset(map(int, wanted))

    def match(self, asked: Asked) -> bool:
        return asked.type in self._types


def _dnssec(asked: Asked) -> bool:
    return asked.dnssec


class _SubnetItem:
    """The question's client subnet is inside one of these prefixes."""

    __slots__ = ("_prefixes",)

    def __init__(self, prefixes: Sequence[Network]) -> None:
        self._prefixes = tuple(prefixes)

    def match(self, asked: Asked) -> bool:
        subnet = asked.subnet
        if subnet is None:
            return False
        for prefix in self._prefixes:
            if prefix.version == subnet.version and subnet.subnet_of(prefix):  # type: ignore[arg-type]
                return True
        return False


class _LabelsItem:
    """The name has one of these numbers of labels."""

    __slots__ = ("_counts",)

    def __init__(self, counts: Sequence[int]) -> None:
        self._counts = frozenset(counts)

    def match(self, asked: Asked) -> bool:
        return len(split_name(asked.name)) in self._counts


class _PreferredItem:
    """One of these servers has answers of its own for the name."""

    __slots__ = ("_servers", "_tags")

    def __init__(self, tags: Sequence[str], servers: Mapping[str, Server]) -> None:
        self._tags = tuple(tags)
        self._servers = servers

    def match(self, asked: Asked) -> bool:
        for tag in self._tags:
            if self._servers[tag].knows(asked.name):
                return True
        return False


class _SearchItem:
    """One of these servers holds search domains."""

    __slots__ = ("_servers", "_tags")

    def __init__(self, tags: Sequence[str], servers: Mapping[str, Server]) -> None:
        self._tags = tuple(tags)
        self._servers = servers

    def match(self, asked: Asked) -> bool:
        for tag in self._tags:
            server = self._servers[tag]
            if isinstance(server, Searching) and server.searches():
                return True
        return False


class _CodeLook:
    """The answer has this response code."""

    __slots__ = ("_code",)

    def __init__(self, code: int) -> None:
        self._code = int(code)

    def match(self, answer: Message) -> bool:
        return answer.rcode == self._code


class _RecordLook:
    """A section of the answer has one of these records, whatever their TTL."""

    __slots__ = ("_section", "_wanted")

    def __init__(self, records: Sequence[Any], section: Callable[[Message], Sequence[Record]]) -> None:
        self._wanted = frozenset(_key(each.record) for each in records)
        self._section = section

    def match(self, answer: Message) -> bool:
        for record in self._section(answer):
            if _key(record) in self._wanted:
                return True
        return False


def _key(record: Record) -> tuple[str, int, int, bytes]:
    """Records that differ in their TTL alone, or in the case of letters in names, are one."""
    folds = record.type in (types.CNAME, types.NS, types.PTR, types.DNAME, types.MX, types.SRV, types.SOA)
    return record.name, record.type, record.cls, record.data.lower() if folds else record.data
