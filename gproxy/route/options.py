"""What can be configured about routing: the `route` table and its rules.

A rule is a default rule (match items and an action) or a logical one (rules joined by `and` or `or`, and an action).
Rules within a logical rule have no action of their own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, Protocol

from gproxy.route.fields import (
    ActionName,
    DomainKeyword,
    DomainName,
    DomainRegex,
    DomainSuffix,
    HostText,
    MethodName,
    NetworkName,
    SnifferName,
)
from gproxy.route.further_options import Database, FurtherConditions
from gproxy.route.sets.options import RuleSetOptions
from gproxy.schema.fields import Cidr, Duration, Mark, Port, RulePortRange
from gproxy.schema.groups import MAX_TTL, DomainResolver
from gproxy.schema.model import Options, doc, fields_of, not_yet_of
from gproxy.schema.problem import KeyPath, Problem, near_miss

# Nobody needs more; without a limit, a document could nest deeper than Python can call.
MAX_NESTING = 16


class BasicConditions(Options):
    """Match items about the session itself."""

    not_yet: ClassVar[tuple[str, ...]] = ("preferred_by",)
    retired: ClassVar[Mapping[str, str]] = {
        "rule_set_ipcidr_match_source": "`rule_set_ip_cidr_match_source` has taken its place",
    }

    inbound: Annotated[tuple[str, ...], doc("Tags of inbounds.")] = ()
    ip_version: Annotated[Literal[4, 6] | None, doc("The target is an IP address of this family.")] = None
    network: Annotated[tuple[NetworkName, ...], doc("`tcp` or `udp`.")] = ()
    auth_user: Annotated[tuple[str, ...], doc("Names of authenticated users.")] = ()
    protocol: Annotated[tuple[SnifferName, ...], doc("A `sniff` before this rule has found this protocol.")] = ()
    client: Annotated[
        tuple[str, ...], doc("A `sniff` before this rule has found this program: of `quic`, or in an SSH banner.")
    ] = ()
    domain: Annotated[tuple[DomainName, ...], doc("The target is this domain.")] = ()
    domain_suffix: Annotated[
        tuple[DomainSuffix, ...], doc("`x.y`: the target is this domain or below it; `.x.y`: below it.")
    ] = ()
    domain_keyword: Annotated[tuple[DomainKeyword, ...], doc("The target is a domain that contains this text.")] = ()
    domain_regex: Annotated[
        tuple[DomainRegex, ...], doc("The target is a domain in which this regular expression (RE2) finds something.")
    ] = ()
    source_ip_cidr: Annotated[tuple[Cidr, ...], doc("The client's address is in this prefix.")] = ()
    source_ip_is_private: Annotated[bool, doc("The client's address is not a public one.")] = False
    ip_cidr: Annotated[
        tuple[Cidr, ...], doc("The target, or an address that it was resolved to, is in this prefix.")
    ] = ()
    ip_is_private: Annotated[
        bool, doc("The target, or an address that it was resolved to, is not a public address.")
    ] = False
    source_port: Annotated[tuple[Port, ...], doc("The client's port.")] = ()
    source_port_range: Annotated[
        tuple[RulePortRange, ...], doc("The client's port is in this range: `1000:2000`, `:3000`, `4000:`.")
    ] = ()
    port: Annotated[tuple[Port, ...], doc("The target's port.")] = ()
    port_range: Annotated[
        tuple[RulePortRange, ...], doc("The target's port is in this range: `1000:2000`, `:3000`, `4000:`.")
    ] = ()
    rule_set: Annotated[tuple[str, ...], doc("Tags of rule sets (`route.rule_set`) of which one matches.")] = ()
    rule_set_ip_cidr_match_source: Annotated[
        bool, doc("What the rule sets say of the target's address is held against the client's.")
    ] = False
    invert: Annotated[bool, doc("Match what the rule without this would not match.")] = False

    def check(self) -> Iterator[tuple[str, str]]:
        """`invert` has something to invert, and rule sets are there to be asked otherwise."""
        yield from super().check()
        if self.rule_set_ip_cidr_match_source and not self.rule_set:
            yield "rule_set_ip_cidr_match_source", "expected `rule_set` beside it"
        if self.invert and not any(getattr(self, item) for item in ITEMS):
            yield "invert", "expected a condition beside it: a rule without any matches everything"


class Conditions(FurtherConditions, BasicConditions):
    """The match items. Within an item any value matches; see docs/route.md for how items are combined."""


_MODIFIERS = {"invert", "rule_set_ip_cidr_match_source", "time_zone"}
ITEMS: tuple[str, ...] = tuple(name for name in fields_of(Conditions) if name not in _MODIFIERS)
"""The keys of the match items, in the order in which sing-box tells them."""

ROUTE = ActionName("route")

_OVERRIDES = (
    "override_address", "override_port", "fallback_delay", "udp_timeout", "udp_connect", "udp_disable_domain_unmapping",
    "limits", "allow_internal", "tls_fragment", "tls_fragment_fallback_delay", "tls_record_fragment",
)  # fmt: skip
RESOLVING = (
    "strategy", "server", "timeout", "disable_cache", "disable_optimistic_cache", "rewrite_ttl", "client_subnet",
)  # fmt: skip
_OWNERS: Mapping[str, tuple[str, ...]] = {
    "outbound": ("route", "bypass"),
    **dict.fromkeys(_OVERRIDES, ("route", "route-options")),
    "method": ("reject",),
    "no_drop": ("reject",),
    **dict.fromkeys(RESOLVING, ("resolve",)),
    "timeout": ("resolve", "sniff"),
    "sniffer": ("sniff",),
    "override_destination": ("sniff",),
}


class ActionOptions(Options):
    """What a matching rule does, with the keys of every action."""

    not_yet: ClassVar[tuple[str, ...]] = (
        "network_strategy", "network_type", "fallback_network_type", "tls_spoof", "tls_spoof_method",
    )  # fmt: skip

    action: Annotated[
        ActionName,
        doc(
            "What a match does: `route`, `reject`, `hijack-dns`, `route-options`, `resolve`, `sniff`, or `bypass`, "
            "which is `route` if it has an `outbound`, and else nothing."
        ),
    ] = ROUTE
    outbound: Annotated[str, doc("`route`, `bypass`: tag of the outbound.")] = ""
    override_address: Annotated[
        HostText | None, doc("`route`, `route-options`: go to this IP address or domain instead.")
    ] = None
    override_port: Annotated[
        Port | None, doc("`route`, `route-options`: go to this port instead.", minimum=1, maximum=65535)
    ] = None
    fallback_delay: Annotated[
        Duration | None, doc("`route`, `route-options`: how long the preferred address family is tried alone.")
    ] = None
    udp_timeout: Annotated[
        Duration | None, doc("`route`, `route-options`: silence after which a UDP session ends.")
    ] = None
    udp_connect: Annotated[bool, doc("`route`, `route-options`: connect UDP sockets to their target.")] = False
    udp_disable_domain_unmapping: Annotated[
        bool, doc("`route`, `route-options`: answer from the address that a domain led to, not from the domain.")
    ] = False
    tls_fragment: Annotated[
        bool,
        doc("`route`, `route-options`: send the client's TLS ClientHello in pieces, cut inside the server's name."),
    ] = False
    tls_fragment_fallback_delay: Annotated[
        Duration | None,
        doc("`route`, `route-options`: time between these pieces where nobody can tell what has arrived; 500ms."),
    ] = None
    tls_record_fragment: Annotated[
        bool, doc("`route`, `route-options`: send it in several TLS records, cut inside the server's name.")
    ] = False
    allow_internal: Annotated[
        bool,
        doc(
            "`route`, `route-options`: let clients from elsewhere reach loopback, link-local and metadata addresses, "
            "and the ports where gproxy is ruled. `override_address` does that too. Not in sing-box."
        ),
    ] = False
    limits: Annotated[
        tuple[str, ...], doc("`route`, `route-options`: tags of limits that the session is under. Not in sing-box.")
    ] = ()
    method: Annotated[MethodName | None, doc("`reject`: `default` (an answer) or `drop` (none).")] = None
    no_drop: Annotated[bool, doc("`reject`: answer also when there are more than 50 refusals in 30 seconds.")] = False
    strategy: Annotated[
        Literal["", "as_is", "prefer_ipv4", "prefer_ipv6", "ipv4_only", "ipv6_only"] | None,
        doc("`resolve`: which addresses are taken, and in which order; `dns.strategy` if empty."),
    ] = None
    server: Annotated[str, doc("`resolve`: tag of the DNS server that is asked; the DNS rules choose if empty.")] = ""
    timeout: Annotated[
        Duration | None,
        doc("`resolve`: time for an answer, instead of `dns.timeout`. `sniff`: for the client's first bytes, 300ms."),
    ] = None
    disable_cache: Annotated[bool, doc("`resolve`: neither look into the DNS cache nor remember the answer.")] = False
    disable_optimistic_cache: Annotated[bool, doc("`resolve`: take no answer that has expired.")] = False
    rewrite_ttl: Annotated[
        int | None, doc("`resolve`: seconds that the answer is good for.", minimum=0, maximum=MAX_TTL)
    ] = None
    client_subnet: Annotated[Cidr | None, doc("`resolve`: EDNS client subnet to send.")] = None
    sniffer: Annotated[tuple[SnifferName, ...], doc("`sniff`: the protocols that are looked for; all if empty.")] = ()
    override_destination: Annotated[bool, doc("`sniff`: go to the domain that was found, instead of the target.")] = (
        False
    )

    def check(self) -> Iterator[tuple[str, str]]:
        """The keys are those of the action, and it has the ones that it needs."""
        yield from super().check()
        yield from misplaced(self, _OWNERS)
        yield from self._incomplete()

    def _incomplete(self) -> Iterator[tuple[str, str]]:
        if self.action == "route" and not self.outbound:
            yield "", "`outbound` is missing: action `route` needs the tag of one"
        if self.action == "route-options" and not any(getattr(self, key) for key in _OVERRIDES):
            yield "action", "expected an option beside it that it sets"
        if self.tls_fragment_fallback_delay is not None and not self.tls_fragment:
            yield "tls_fragment_fallback_delay", "has no effect without `tls_fragment`"


class RuleOptions(ActionOptions):
    """A rule of either kind, with its action: `type` says which kind."""

    @classmethod
    def model_for(cls, tree: Mapping[str, Any], at: KeyPath, problems: list[Problem]) -> type[Options] | None:
        """The model of the rule's `type`."""
        return choose_rule(RuleOptions.variants(), tree, at, problems)

    @classmethod
    def variants(cls) -> Mapping[str, type[Options]]:
        """Both kinds; a rule without a `type` is a `default` one."""
        return {"default": DefaultRuleOptions, "logical": LogicalRuleOptions}


class NestedRuleOptions(Options):
    """A rule within a logical rule: of either kind, without an action."""

    @classmethod
    def model_for(cls, tree: Mapping[str, Any], at: KeyPath, problems: list[Problem]) -> type[Options] | None:
        """The model of the rule's `type`; None after complaining of an action."""
        return choose_nested_rule(NestedRuleOptions.variants(), _ACTION_KEYS, tree, at, problems)

    @classmethod
    def variants(cls) -> Mapping[str, type[Options]]:
        """Both kinds; a rule without a `type` is a `default` one."""
        return {"default": NestedDefaultRuleOptions, "logical": NestedLogicalRuleOptions}


# `network_type` is a key of some actions, and a match item.
_ACTION_KEYS = frozenset(fields_of(ActionOptions).keys() | (not_yet_of(ActionOptions) - fields_of(Conditions).keys()))


class Combination(Options):
    """Rules joined by `and` or `or`."""

    type: Annotated[Literal["logical"], doc("`logical`: rules joined by `mode`.")]
    mode: Annotated[Literal["and", "or"], doc("Whether all of the rules must match, or any.")]
    rules: Annotated[tuple[NestedRuleOptions, ...], doc("The rules that are joined: they have no action.")]
    invert: Annotated[bool, doc("Match what the rule without this would not match.")] = False

    def check(self) -> Iterator[tuple[str, str]]:
        """There is something to join."""
        yield from super().check()
        if not self.rules:
            yield "rules", "expected at least one rule"


class DefaultRuleOptions(RuleOptions, Conditions):
    """Match items and an action."""

    type: Annotated[Literal["", "default"], doc("`default`: match items. May be left out.")] = ""


class LogicalRuleOptions(RuleOptions, Combination):
    """Rules joined by `and` or `or`, and an action."""


class NestedDefaultRuleOptions(NestedRuleOptions, Conditions):
    """Match items."""

    type: Annotated[Literal["", "default"], doc("`default`: match items. May be left out.")] = ""

    def check(self) -> Iterator[tuple[str, str]]:
        """There is something to match: as in sing-box, only an outermost rule may be without."""
        yield from super().check()
        if not self.invert and not any(getattr(self, item) for item in ITEMS):
            yield "", "expected a condition"


class NestedLogicalRuleOptions(NestedRuleOptions, Combination):
    """Rules joined by `and` or `or`."""


def is_said(value: object) -> bool:
    """Whether a key says anything: 0 does."""
    return value is not None and value is not False and value not in ("", (), {})


class Acting(Protocol):
    """What rules of both tables have."""

    @property
    def action(self) -> str: ...
    @property
    def method(self) -> str | None: ...
    @property
    def no_drop(self) -> bool: ...


def misplaced(rule: Acting, owners: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[str, str]]:
    """Complaints of keys that belong to other actions, or contradict each other. `owners`: the actions of each key."""
    for key, actions in owners.items():
        if rule.action not in actions and is_said(getattr(rule, key)):
            yield key, f"belongs to action `{'` or `'.join(actions)}`, and this is `{rule.action}`"
    if rule.method == "drop" and rule.no_drop:
        yield "no_drop", "contradicts method `drop`"


def choose_nested_rule(
    kinds: Mapping[str, type[Options]],
    action_keys: Collection[str],
    tree: Mapping[str, Any],
    at: KeyPath,
    problems: list[Problem],
) -> type[Options] | None:
    """The model of the `type` of a rule within a logical rule; None after complaining of an action."""
    actions = [key for key in tree if key in action_keys]
    problems.extend(
        Problem((*at, key), "a nested rule has no action of its own", at_key=True, unread=True) for key in actions
    )
    return None if actions else choose_rule(kinds, tree, at, problems)


def choose_rule(
    kinds: Mapping[str, type[Options]], tree: Mapping[str, Any], at: KeyPath, problems: list[Problem]
) -> type[Options] | None:
    """The model of the rule's `type`; None after telling what is wrong with it."""
    if at.count("rules") > MAX_NESTING:
        problems.append(Problem(at, f"expected at most {MAX_NESTING} levels of rules"))
        return None
    name = tree.get("type") or "default"
    if isinstance(name, str) and name in kinds:
        return kinds[name]
    hint = near_miss(name, kinds) if isinstance(name, str) else ""
    problems.append(Problem((*at, "type"), "expected `default` or `logical`", hint))
    return None


class RouteOptions(Options):
    """Which session goes where: the first rule that matches and has a final action decides, or else `final`."""

    not_yet: ClassVar[tuple[str, ...]] = (
        "auto_detect_interface", "override_android_vpn", "default_network_strategy",
        "default_network_type", "default_fallback_network_type", "default_fallback_delay", "default_http_client",
    )  # fmt: skip

    rules: Annotated[tuple[RuleOptions, ...], doc("The rules, in their order.")] = ()
    rule_set: Annotated[
        tuple[RuleSetOptions, ...], doc("Rule sets, which rules name by their tags; `type` says where they come from.")
    ] = ()
    final: Annotated[
        str, doc("Tag of the outbound for whatever no rule has decided; the first one, or else `direct`, if empty.")
    ] = ""
    default_domain_resolver: Annotated[
        str | DomainResolver,
        doc("Who looks names up for outbounds that have no `domain_resolver`: the tag of a DNS server, or a table."),
    ] = ""
    default_interface: Annotated[
        str, doc("Network interface of all outbound connections whose outbound has no `bind_interface`.")
    ] = ""
    default_mark: Annotated[Mark, doc("The same for `routing_mark`, the mark of outbound packets.")] = Mark(0)
    find_process: Annotated[
        bool, doc("Find out the process of each client on this machine, for the log, also if no rule asks.")
    ] = False
    find_neighbor: Annotated[
        bool, doc("Find out the MAC address and the name of each client, for the log, also if no rule asks.")
    ] = False
    dhcp_lease_files: Annotated[
        tuple[str, ...],
        doc(
            "Files in which DHCP servers (dnsmasq, odhcpd, ISC, Kea) keep their leases; where they usually are if none."
        ),
    ] = ()
    default_mode: Annotated[str, doc("The mode that `clash_mode` looks at. Not in sing-box.")] = ""
    geoip: Annotated[Database, doc("The database of countries (MaxMind's format, or sing-box's `geoip.db`).")] = (
        Database()
    )
    asn: Annotated[Database, doc("The database of autonomous systems (MaxMind's format). Not in sing-box.")] = (
        Database()
    )
    geosite: Annotated[Database, doc("The lists of domains: sing-box's `geosite.db` or v2ray's `geosite.dat`.")] = (
        Database()
    )
