"""What rules may look at besides the session: rule sets, and how things stand on this machine.

All of it is kept by others and only read here, so that a walk stays without input and output.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gproxy.base.errors import ConfigError
from gproxy.base.session import Session
from gproxy.route.facts import Facts
from gproxy.route.geo import AsnOf, Countries, InCountry
from gproxy.route.groups import Groups, Match, Part, Parts

__all__ = ["NO_CONTEXT", "Context", "Match", "Mode", "Part", "Parts", "RuleSet", "SetContents"]


class SetContents(Protocol):
    """What a rule set says now. `by_source`: its `ip_cidr` is held against the client's address instead."""

    @property
    def addresses(self) -> bool:
        """Whether any of its rules looks at the target's addresses."""

    @property
    def clients(self) -> bool:
        """Whether any of its rules looks at who asks, or how."""

    def match(self, *, by_source: bool) -> Match:
        """Whether any of its rules matches."""

    def groups(self, *, by_source: bool) -> Groups | None:
        """Of what is exactly one default rule, and not inverted: its groups."""


class RuleSet(Protocol):
    """What a rule that names a rule set asks. It stays the same object when the set is replaced."""

    tag: str

    @property
    def contents(self) -> SetContents:
        """What it says now: another object when it is replaced."""

    @property
    def addresses(self) -> bool:
        """Whether any of its rules looks at what address a name has: rules about names then have to ask first."""

    def match(self, session: Session, /, *, by_source: bool = False) -> bool:
        """Whether any of its rules matches. `by_source`: what it says of addresses is held against the client's."""


@dataclass(slots=True)
class Mode:
    """What `clash_mode` looks at; whoever may change it does so at any time."""

    name: str = ""  # lower-case; empty: none, and nothing matches


def _no_countries(codes: Collection[str]) -> InCountry:
    raise ConfigError("`geoip` and `source_geoip` need `route.geoip.path`")


def _no_asns() -> AsnOf:
    raise ConfigError("`ip_asn` and `source_ip_asn` need `route.asn.path`")


def _no_sites(codes: Sequence[str]) -> Parts:
    raise ConfigError("`geosite` needs `route.geosite.path`")


@dataclass(frozen=True, slots=True)
class Context:
    """Handed to whoever compiles rules."""

    rule_sets: Mapping[str, RuleSet] = field(default_factory=dict)  # by tag
    facts: Facts = field(default_factory=Facts)  # says what the rules need, and collects it before a walk
    mode: Mode = field(default_factory=Mode)
    countries: Countries = _no_countries
    asns: Callable[[], AsnOf] = _no_asns  # raises ConfigError
    sites: Callable[[Sequence[str]], Parts] = _no_sites  # the conditions of these lists of domains; raises ConfigError


NO_CONTEXT = Context()
