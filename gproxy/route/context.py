"""What rules may look at besides the session: rule sets, and how things stand on this machine.

All of it is kept by others and only read here, so that a walk stays without input and output.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from gproxy.base.session import Session
from gproxy.route.groups import Groups, Match, Part, Parts

__all__ = ["NO_CONTEXT", "Context", "Match", "Part", "Parts", "RuleSet", "SetContents"]


class SetContents(Protocol):
    """What a rule set says now. `by_source`: its `ip_cidr` is held against the client's address instead."""

    @property
    def addresses(self) -> bool:
        """Whether any of its rules looks at the target's addresses."""

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


@dataclass(frozen=True, slots=True)
class Context:
    """Handed to whoever compiles rules."""

    rule_sets: Mapping[str, RuleSet] = field(default_factory=dict)  # by tag


NO_CONTEXT = Context()
