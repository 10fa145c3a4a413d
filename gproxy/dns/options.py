"""What can be configured about names: the `dns` table but for its servers, and its rules.

A rule is a default rule (match items and an action) or a logical one (rules joined by `and` or `or`, and an action).
The match items are those of `route`, and some that look at the question, or at the answer of a server.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, Self

from gproxy.route.fields import Word
from gproxy.route.further_options import MEANINGLESS
from gproxy.route.options import (
    Combination,
    Conditions,
    NestedRuleOptions,
    choose_nested_rule,
    choose_rule,
    is_said,
    misplaced,
)
from gproxy.schema.fields import Cidr, Duration
from gproxy.schema.groups import MAX_TTL, Lookups
from gproxy.schema.model import Options, doc, fields_of, read_integer
from gproxy.schema.problem import BadValue, KeyPath, Problem, expected, near_miss
from gproxy.wire.dns.types import RCODES, TYPES, rcode_name, rcode_number, type_name, type_number

if TYPE_CHECKING:
    from gproxy.wire.dns.message import Record

OPTIMISTIC: Final = 3 * 86400.0
"""Seconds that answers are given beyond their end, if nothing is said; as in sing-box."""

DNS_TIMEOUT: Final = 10.0
"""Seconds for an answer, if nothing is said; as in sing-box."""

_TOP_LEVEL = "belongs to an outermost rule"


class QueryType(int):
    """A record type, by its name or its number."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read it. Raises BadValue."""
        if isinstance(value, str):
            try:
                return cls(type_number(value))
            except ValueError:
                raise BadValue("expected a DNS record type such as `AAAA` or 28", near_miss(value, TYPES)) from None
        number = read_integer(value, "a DNS record type such as `AAAA` or 28")
        if not 0 <= number <= 0xFFFF:
            raise BadValue("expected a DNS record type, 0 to 65535")
        return cls(number)

    def __str__(self) -> str:
        return type_name(self)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """A name or a number."""
        return {"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 0, "maximum": 0xFFFF}]}


class ResponseCode(int):
    """A response code, by its name or its number."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read it. Raises BadValue."""
        if isinstance(value, str):
            try:
                return cls(rcode_number(value))
            except ValueError:
                raise BadValue("expected a DNS response code such as `NXDOMAIN`", near_miss(value, RCODES)) from None
        number = read_integer(value, "a DNS response code such as `NXDOMAIN` or 3")
        if not 0 <= number <= 0xFFF:
            raise BadValue("expected a DNS response code, 0 to 4095")
        return cls(number)

    def __str__(self) -> str:
        return rcode_name(self)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """A name or a number."""
        return {"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 0, "maximum": 0xFFF}]}


class RecordText(str):
    """A DNS record as a zone file has it, or in wire format and base64. `record` is what it says."""

    __slots__ = ("record",)

    record: Record

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read it. Raises BadValue."""
        if not isinstance(value, str):
            raise expected("a DNS record", value)
        text = cls(value)
        text.record = _record(value)
        return text

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Text."""
        return {"type": "string"}


def _record(text: str) -> Record:
    from gproxy.wire.dns.zone import read_record

    try:
        return read_record(text)
    except ValueError as error:
        raise BadValue("expected a DNS record such as `example.org. 60 IN A 192.0.2.1`", str(error)) from None


class DnsActionName(Word):
    """What a matching rule does."""

    __slots__ = ()
    words = ("route", "evaluate", "respond", "route-options", "reject", "predefined")


ROUTE = DnsActionName("route")

_ITSELF = "`domain_resolver` of outbounds, and `route.default_domain_resolver`, have taken its place"


class DnsConditions(Conditions):
    """The match items. Within an item any value matches; see docs/dns.md for how items are combined."""

    retired: ClassVar[Mapping[str, str]] = {"outbound": _ITSELF}

    ip_version: Annotated[Literal[4, 6] | None, doc("4: the question is for A records, 6: for AAAA.")] = None
    query_type: Annotated[tuple[QueryType, ...], doc("The question is for this record type: a name or a number.")] = ()
    query_dnssec: Annotated[bool, doc("Who asks wants DNSSEC records.")] = False
    query_client_subnet: Annotated[
        tuple[Cidr, ...], doc("The question has a client subnet (RFC 7871) that is inside this prefix.")
    ] = ()
    domain_label_count: Annotated[
        tuple[Annotated[int, doc("", minimum=0, maximum=127)], ...], doc("The name has so many labels.")
    ] = ()
    search_domain_available: Annotated[
        tuple[str, ...], doc("This DNS server, of type `local` or `dhcp`, holds search domains.")
    ] = ()
    preferred_by: Annotated[
        tuple[str, ...],
        doc("This DNS server, of type `hosts`, `local`, `mdns` or `dhcp`, has answers of its own for the name."),
    ] = ()
    match_response: Annotated[
        bool | str,
        doc(
            "Look at the answer that an `evaluate` before has got: `true` for the last one without a tag, or its tag. "
            "All items that look at addresses and answers look at that."
        ),
    ] = False
    ip_cidr: Annotated[tuple[Cidr, ...], doc("An address in the answer is in this prefix.")] = ()
    ip_is_private: Annotated[bool, doc("An address in the answer is not a public one.")] = False
    ip_accept_any: Annotated[bool, doc("There is an address in the answer.")] = False
    rule_set_ip_cidr_accept_empty: Annotated[
        bool, doc("Rule sets that look at addresses match an answer without any, in rules without `match_response`.")
    ] = False
    response_rcode: Annotated[ResponseCode | None, doc("The answer has this response code.")] = None
    response_answer: Annotated[tuple[RecordText, ...], doc("The answer has this record in its answer section.")] = ()
    response_ns: Annotated[tuple[RecordText, ...], doc("The answer has this record in its authority section.")] = ()
    response_extra: Annotated[tuple[RecordText, ...], doc("The answer has this record in its additional section.")] = ()

    def check(self) -> Iterator[tuple[str, str]]:
        """`invert` has something to invert, and what looks at an answer has one to look at."""
        for key, message in super().check():
            if key != "invert" or not self.says():
                yield key, message
        if self.match_response == "":
            yield "match_response", "expected `true`, or the tag of an `evaluate`"
        if not self.match_response:
            for key in RESPONSES:
                if is_said(getattr(self, key)):
                    yield key, "looks at an answer: expected `match_response` beside it"
        elif self.rule_set_ip_cidr_accept_empty:
            yield "rule_set_ip_cidr_accept_empty", "has no effect beside `match_response`"

    def says(self) -> bool:
        """Whether there is any item."""
        return any(is_said(getattr(self, item)) for item in DNS_ITEMS)

    def filters(self) -> bool:
        """Whether it looks at the addresses of an answer that is yet to be asked for, other than by rule sets."""
        return not self.match_response and any(getattr(self, item) for item in (*ADDRESSES, "ip_accept_any"))


ADDRESSES: tuple[str, ...] = ("ip_cidr", "ip_is_private", "geoip", "ip_asn")
"""The match items of `route` that look at what address a name has."""

NAMES: tuple[str, ...] = ("domain", "domain_suffix", "domain_keyword", "domain_regex", "domain_wildcard", "geosite")
"""The match items of `route` that are enough where there is one of those, too."""

RESPONSES: tuple[str, ...] = ("response_rcode", "response_answer", "response_ns", "response_extra")

DNS_ITEMS: tuple[str, ...] = tuple(
    name for name in fields_of(DnsConditions) if name not in ("invert", "rule_set_ip_cidr_accept_empty")
)
"""The keys of the match items: those of `route` first."""

_SAME_FOR_ALL = frozenset((
    "inbound", "ip_version", *NAMES, *ADDRESSES, "ip_accept_any", "port", "port_range", "query_type", "query_dnssec",
    "query_client_subnet", "domain_label_count", "search_domain_available", "preferred_by", "match_response",
    *RESPONSES, "clash_mode", "wifi_ssid", "wifi_bssid", "interface_address", "default_interface_address",
    "time_of_day", "weekday", "time_zone", "rule_set", *MEANINGLESS,
))  # fmt: skip

ASKING = ("route", "evaluate")
_HOW = (
    "strategy", "disable_cache", "disable_optimistic_cache", "rewrite_ttl", "timeout", "client_subnet",
    "remove_client_subnet",
)  # fmt: skip
_OWNERS: Mapping[str, tuple[str, ...]] = {
    "server": ASKING,
    "tag": ("evaluate",),
    "speculative": ASKING,
    **dict.fromkeys(_HOW, (*ASKING, "route-options")),
    "method": ("reject",),
    "no_drop": ("reject",),
    **dict.fromkeys(("rcode", "answer", "ns", "extra"), ("predefined",)),
}


class DnsActionOptions(Options):
    """What a matching rule does, with the keys of every action."""

    action: Annotated[
        DnsActionName,
        doc("What a match does: `route`, `evaluate`, `respond`, `route-options`, `reject` or `predefined`."),
    ] = ROUTE
    race: Annotated[
        bool,
        doc(
            "Don't wait for the answer that `match_response` looks at: go on with the rules that follow, and come back "
            "when it is there."
        ),
    ] = False
    server: Annotated[str, doc("`route`, `evaluate`: tag of the DNS server that is asked.")] = ""
    tag: Annotated[str, doc("`evaluate`: what rules call the answer by in `match_response`.")] = ""
    speculative: Annotated[
        bool, doc("`route`, `evaluate`: ask at once, although a rule with `race` may still match.")
    ] = False
    strategy: Annotated[
        Lookups, doc("`route`, `evaluate`, `route-options`: which addresses are asked for, instead of `dns.strategy`.")
    ] = ""
    disable_cache: Annotated[
        bool, doc("`route`, `evaluate`, `route-options`: neither look into the cache nor remember the answer.")
    ] = False
    disable_optimistic_cache: Annotated[
        bool, doc("`route`, `evaluate`, `route-options`: take no answer that has expired.")
    ] = False
    rewrite_ttl: Annotated[
        int | None,
        doc("`route`, `evaluate`, `route-options`: seconds that the answer is good for.", minimum=0, maximum=MAX_TTL),
    ] = None
    timeout: Annotated[
        Duration | None, doc("`route`, `evaluate`, `route-options`: time for an answer, instead of `dns.timeout`.")
    ] = None
    client_subnet: Annotated[
        Cidr | None, doc("`route`, `evaluate`, `route-options`: EDNS client subnet to send (RFC 7871).")
    ] = None
    remove_client_subnet: Annotated[
        bool, doc("`route`, `evaluate`, `route-options`: send no EDNS client subnet, not even the client's own.")
    ] = False
    method: Annotated[
        Literal["", "default", "drop"], doc("`reject`: `default` (the answer REFUSED) or `drop` (none).")
    ] = ""
    no_drop: Annotated[bool, doc("`reject`: answer also when there are more than 50 refusals in 30 seconds.")] = False
    rcode: Annotated[ResponseCode | None, doc("`predefined`: response code; `NOERROR` if left out.")] = None
    answer: Annotated[
        tuple[RecordText, ...],
        doc(
            "`predefined`: records of the answer section, each as a zone file has it, or in base64. A name that begins "
            "with `*` stands for the one that was asked for, if that ends with the rest."
        ),
    ] = ()
    ns: Annotated[tuple[RecordText, ...], doc("`predefined`: records of the authority section.")] = ()
    extra: Annotated[tuple[RecordText, ...], doc("`predefined`: records of the additional section.")] = ()

    def check(self) -> Iterator[tuple[str, str]]:
        """The keys are those of the action, and it has the ones that it needs."""
        yield from super().check()
        yield from misplaced(self, _OWNERS)
        yield from self._incomplete()
        if self.client_subnet is not None and self.remove_client_subnet:
            yield "remove_client_subnet", "contradicts `client_subnet`"

    def _incomplete(self) -> Iterator[tuple[str, str]]:
        if self.action in ASKING and not self.server:
            yield "", f"`server` is missing: action `{self.action}` needs the tag of one"
        if self.action == "route-options" and not any(is_said(getattr(self, key)) for key in _HOW):
            yield "action", "expected an option beside it that it sets"
        if self.race and self.action in ("evaluate", "route-options"):
            yield "race", f"needs an action that ends the walk, and this is `{self.action}`"
        if self.race and self.speculative:
            yield "race", "contradicts `speculative`"


class DnsRuleOptions(DnsActionOptions):
    """A rule of either kind, with its action: `type` says which kind."""

    @classmethod
    def model_for(cls, tree: Mapping[str, Any], at: KeyPath, problems: list[Problem]) -> type[Options] | None:
        """The model of the rule's `type`."""
        return choose_rule(DnsRuleOptions.variants(), tree, at, problems)

    @classmethod
    def variants(cls) -> Mapping[str, type[Options]]:
        """Both kinds; a rule without a `type` is a `default` one."""
        return {"default": DefaultDnsRuleOptions, "logical": LogicalDnsRuleOptions}

    def tags(self) -> Iterator[str]:
        """What `match_response` looks at, here and in the rules that are joined: empty is what has no tag."""
        return tags_of(self)

    def _check_response(self) -> Iterator[tuple[str, str]]:
        if self.race and not list(self.tags()):
            yield "race", "expected `match_response` beside it"
        if self.action != "route" and filters_of(self):
            yield (
                "action",
                (
                    f"`{self.action}` does not ask for the answer whose addresses the rule looks at: expected "
                    "`evaluate` before it, and `match_response` here"
                ),
            )


class NestedDnsRuleOptions(NestedRuleOptions):
    """A rule within a logical rule: of either kind, without an action."""

    @classmethod
    def model_for(cls, tree: Mapping[str, Any], at: KeyPath, problems: list[Problem]) -> type[Options] | None:
        """The model of the rule's `type`; None after complaining of an action."""
        return choose_nested_rule(NestedDnsRuleOptions.variants(), fields_of(DnsActionOptions), tree, at, problems)

    @classmethod
    def variants(cls) -> Mapping[str, type[Options]]:
        """Both kinds; a rule without a `type` is a `default` one."""
        return {"default": NestedDefaultDnsRuleOptions, "logical": NestedLogicalDnsRuleOptions}


class DnsCombination(Combination):
    """Rules joined by `and` or `or`."""

    rules: Annotated[tuple[NestedDnsRuleOptions, ...], doc("The rules that are joined: they have no action.")]


class DefaultDnsRuleOptions(DnsRuleOptions, DnsConditions):
    """Match items and an action."""

    type: Annotated[Literal["", "default"], doc("`default`: match items. May be left out.")] = ""

    def check(self) -> Iterator[tuple[str, str]]:
        """The action fits to what the rule looks at."""
        yield from super().check()
        yield from self._check_response()


class LogicalDnsRuleOptions(DnsRuleOptions, DnsCombination):
    """Rules joined by `and` or `or`, and an action."""

    def check(self) -> Iterator[tuple[str, str]]:
        """The action fits to what the rules look at."""
        yield from super().check()
        yield from self._check_response()
        if self.action == "respond" and any(self.tags()):
            yield "action", "can't tell which answer is meant: expected a rule that is not logical"


class NestedDefaultDnsRuleOptions(NestedDnsRuleOptions, DnsConditions):
    """Match items."""

    type: Annotated[Literal["", "default"], doc("`default`: match items. May be left out.")] = ""

    def check(self) -> Iterator[tuple[str, str]]:
        """There is something to match: as in sing-box, only an outermost rule may be without."""
        yield from super().check()
        if not self.invert and not self.says():
            yield "", "expected a condition"


class NestedLogicalDnsRuleOptions(NestedDnsRuleOptions, DnsCombination):
    """Rules joined by `and` or `or`."""


def tags_of(rule: Options) -> Iterator[str]:
    """What `match_response` looks at in a rule and those that it joins: empty is what has no tag."""
    if isinstance(rule, Combination):
        for each in rule.rules:
            yield from tags_of(each)
    elif isinstance(rule, DnsConditions) and rule.match_response:
        yield "" if rule.match_response is True else str(rule.match_response)


def filters_of(rule: Options) -> bool:
    """Whether a rule, or one that it joins, filters by addresses, other than by rule sets."""
    if isinstance(rule, Combination):
        return any(filters_of(each) for each in rule.rules)
    return isinstance(rule, DnsConditions) and rule.filters()


def looks_at_clients(rule: Options) -> bool:
    """Whether a rule may give different answers to those who ask the same by one inbound, other than by rule sets."""
    if isinstance(rule, Combination):
        return any(looks_at_clients(each) for each in rule.rules)
    return any(is_said(getattr(rule, item)) for item in DNS_ITEMS if item not in _SAME_FOR_ALL)


def rule_sets_of(rule: Options) -> Iterator[str]:
    """The tags of the rule sets that a rule names, and those that it joins."""
    if isinstance(rule, Combination):
        for each in rule.rules:
            yield from rule_sets_of(each)
    elif isinstance(rule, DnsConditions):
        yield from rule.rule_set


class OptimisticOptions(Options):
    """Answers that have expired, where a table stands instead of `true`."""

    enabled: Annotated[bool, doc("Give answers that have expired, and ask anew behind them.")] = False
    timeout: Annotated[Duration, doc("For how long after their end; 0: 3 days.")] = Duration(OPTIMISTIC)


class DnsOptions(Options):
    """Names: whom to ask, what to remember, and what to tell whom. All but the servers."""

    retired: ClassVar[Mapping[str, str]] = {"fakeip": "a DNS server of type `fakeip` has taken its place"}

    rules: Annotated[
        tuple[DnsRuleOptions, ...], doc("Which question goes to which server, in their order; the first match decides.")
    ] = ()
    final: Annotated[str, doc("Tag of the DNS server for whatever no rule has decided; the first one if empty.")] = ""
    strategy: Annotated[Lookups, doc("Which addresses are asked for, and which are tried first.")] = ""
    disable_cache: Annotated[bool, doc("Remember no answers.")] = False
    disable_expire: Annotated[bool, doc("Remember answers for ever.")] = False
    independent_cache: Annotated[
        bool, doc("Has no effect: answers are always remembered for each server by itself.")
    ] = False
    cache_capacity: Annotated[
        int, doc("How many answers are remembered, 1024 at least; 0: 16384.", minimum=0, maximum=2**24)
    ] = 0
    reverse_mapping: Annotated[
        bool, doc("Remember which names led to which addresses, for rules of `route` that look at domains.")
    ] = False
    client_subnet: Annotated[
        Cidr | None, doc("EDNS client subnet to send with all questions (RFC 7871), instead of the clients' own.")
    ] = None
    optimistic: Annotated[
        bool | OptimisticOptions,
        doc("Give answers that have expired, and ask anew behind them: `true`, or a table with `enabled`, `timeout`."),
    ] = False
    timeout: Annotated[Duration, doc("Time for an answer; 0: 10 seconds.")] = Duration(DNS_TIMEOUT)
    prefetch: Annotated[
        bool, doc("Ask for popular names anew shortly before their answers expire. Not in sing-box.")
    ] = False

    def check(self) -> Iterator[tuple[str, str]]:
        """There is a cache for what is said about it, and rules look at answers that there are."""
        yield from super().check()
        for key in ("optimistic", "prefetch"):
            wanted = self.stale() if key == "optimistic" else self.prefetch
            if wanted and self.disable_cache:
                yield key, "contradicts `disable_cache`"
            if wanted and self.disable_expire:
                yield key, "contradicts `disable_expire`"
        for message in _answers_looked_at(self.rules):
            yield "rules", message

    def stale(self) -> float:
        """Seconds that answers are given beyond their end; 0 for none."""
        said = self.optimistic
        if isinstance(said, bool):
            return OPTIMISTIC if said else 0.0
        return (said.timeout or OPTIMISTIC) if said.enabled else 0.0

    def wait(self) -> float:
        """Seconds for an answer."""
        return self.timeout or DNS_TIMEOUT


def _answers_looked_at(rules: Sequence[DnsRuleOptions]) -> Iterator[str]:
    """Complaints of rules that look at answers which nobody has asked for before."""
    seen: set[str] = set()
    for index, rule in enumerate(rules):
        wanted = set(rule.tags())
        if rule.action == "respond" and not wanted:
            wanted = {""}
        for tag in sorted(wanted - seen):
            what = f"with the tag `{tag}`" if tag else "without a tag"
            yield f"rules[{index}] looks at an answer that nobody has asked for: expected `evaluate` {what} before it"
        if rule.action == "evaluate":
            if rule.tag and rule.tag in seen:
                yield f"rules[{index}]: the tag `{rule.tag}` is taken by an `evaluate` before"
            seen.add(rule.tag)
