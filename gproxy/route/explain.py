"""Why a session goes where it goes: every rule that is tried, and which of its conditions hold.

The rules are walked one by one, as the router's answer is defined, without the index that makes it fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gproxy.base.session import Session
from gproxy.route.action import Action, RouteTo
from gproxy.route.compile import brackets, groups_of
from gproxy.route.context import Context
from gproxy.route.naming import name_of
from gproxy.route.options import Combination, Conditions, NestedRuleOptions, RuleOptions
from gproxy.route.rule import action_of


@dataclass(frozen=True, slots=True)
class Reason:
    """Whether a condition holds, and those that it is made of.

    `what` is a match item's key; for those that are made of others `all of`, `any of`, and with a `not` before it where
    it is inverted.
    """

    what: str
    holds: bool
    because: tuple[Reason, ...] = ()

    def __str__(self) -> str:
        """On one line: `domain no`, `all of (network yes, any of (domain no, ip_cidr no))`."""
        if not self.because:
            return f"{self.what} {'yes' if self.holds else 'no'}"
        return f"{self.what} ({', '.join(map(str, self.because))})"

    def tree(self) -> dict[str, Any]:
        """In what JSON knows: `what`, `holds`, and `because` if it is made of others."""
        tree: dict[str, Any] = {"what": self.what, "holds": self.holds}
        if self.because:
            tree["because"] = [each.tree() for each in self.because]
        return tree

    @classmethod
    def of(cls, tree: Mapping[str, Any]) -> Reason:
        """The reason of such a tree."""
        return cls(tree["what"], tree["holds"], tuple(map(cls.of, tree.get("because", ()))))


@dataclass(frozen=True, slots=True)
class Tried:
    """One rule, and what it asks for if it matches."""

    name: str
    reason: Reason | None  # none for the rule at the end, which always matches
    action: Action | None  # if it matches

    @property
    def matched(self) -> bool:
        return self.action is not None


Perform = Callable[[Action, Session], None]
"""Carries out an action that is not final, as far as that can be done."""


def explain(
    rules: Sequence[RuleOptions], final: str, context: Context, session: Session, perform: Perform
) -> Iterator[Tried]:
    """The rules in their order, up to the one that decides. `final`: the outbound of what none of them does."""
    for number, options in enumerate(rules):
        name = name_of(number, options)
        reason = reason_for(options, context, session)
        if not reason.holds:
            yield Tried(name, reason, None)
            continue
        action = action_of(name, options)
        yield Tried(name, reason, action)
        if action.final:
            return
        perform(action, session)
    yield Tried("final", None, RouteTo(final, rule="final"))


def reason_for(options: RuleOptions | NestedRuleOptions, context: Context, session: Session) -> Reason:
    """Whether a session matches a rule, and why."""
    if isinstance(options, Combination):
        because = tuple(reason_for(rule, context, session) for rule in options.rules)
        together, what = (all, "all of") if options.mode == "and" else (any, "any of")
    else:
        assert isinstance(options, Conditions)
        groups = groups_of(options, context)
        because = tuple(
            _one_of(tuple(Reason(label, part(session)) for label, part in bracket))
            for bracket in brackets(options, groups, context)
        )
        together, what = all, "all of"
    holds = together(reason.holds for reason in because) != options.invert
    if not because:
        return Reason("no condition", holds)
    if len(because) == 1 and not options.invert:
        return because[0]
    return Reason(f"not {what}" if options.invert else what, holds, because)


def _one_of(parts: tuple[Reason, ...]) -> Reason:
    return parts[0] if len(parts) == 1 else Reason("any of", any(part.holds for part in parts), parts)
