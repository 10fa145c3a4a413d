"""What rules may look at besides the session: rule sets, and how things stand on this machine.

All of it is kept by others and only read here, so that a walk stays without input and output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from gproxy.base.session import Session

Match = Callable[[Session], bool]
"""Whether a session fulfils a condition."""

Part = tuple[str, Match]
"""A condition that is one of those that rules are made of, and what it is called: the key of its match item."""


class RuleSet(Protocol):
    """What a rule that names a rule set asks. It stays the same object when the set is replaced."""

    tag: str

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

Parts = Iterator[Part]
