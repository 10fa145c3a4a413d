"""Conditions put together: all of them, any of them, none; and the groups of those that a default rule is made of."""

# ruff: noqa: SIM110 - all() and any() would make a generator for each session

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from gproxy.base.session import Session

Match = Callable[[Session], bool]
"""Whether a session fulfils a condition."""

Part = tuple[str, Match]
"""A condition that is one of those that rules are made of, and what it is called: the key of its match item."""

Parts = Iterator[Part]


class AllOf:
    """Every part matches."""

    __slots__ = ("_parts",)

    def __init__(self, parts: Sequence[Match]) -> None:
        self._parts = tuple(parts)

    def match(self, session: Session) -> bool:
        for part in self._parts:
            if not part(session):
                return False
        return True


class AnyOf:
    """Some part matches."""

    __slots__ = ("_parts",)

    def __init__(self, parts: Sequence[Match]) -> None:
        self._parts = tuple(parts)

    def match(self, session: Session) -> bool:
        for part in self._parts:
            if part(session):
                return True
        return False


class Not:
    """The part does not match."""

    __slots__ = ("_part",)

    def __init__(self, part: Match) -> None:
        self._part = part

    def match(self, session: Session) -> bool:
        return not self._part(session)


def all_of(parts: Sequence[Match]) -> Match:
    """Whether all of them match; of none, always."""
    return parts[0] if len(parts) == 1 else AllOf(parts).match


def any_of(parts: Sequence[Match]) -> Match:
    """Whether one of them matches; of none, never."""
    return parts[0] if len(parts) == 1 else AnyOf(parts).match


def inverted(part: Match, *, invert: bool) -> Match:
    """What is asked, or the opposite."""
    return Not(part).match if invert else part


class Groups(NamedTuple):
    """What a default rule asks: all of `singles` must match, and of each other group any part, where it has some."""

    singles: tuple[Part, ...] = ()
    source_port: tuple[Part, ...] = ()
    port: tuple[Part, ...] = ()
    source: tuple[Part, ...] = ()
    target: tuple[Part, ...] = ()

    def brackets(self) -> Iterator[tuple[Part, ...]]:
        """What must all match, the cheapest first: of each, any part."""
        for part in self.singles:
            yield (part,)
        for group in self[1:]:
            if group:
                yield group

    def joined(self, other: Groups) -> Groups:
        """Both rules as one: where both have a group, either's parts are enough for it."""
        return Groups(*(mine + others for mine, others in zip(self, other, strict=True)))

    def match(self) -> Match:
        """Whether a session matches the rule, not inverted."""
        return bracketed(self.brackets())


def bracketed(brackets: Iterator[tuple[Part, ...]]) -> Match:
    """Whether of each bracket a part matches."""
    return all_of([any_of([match for _, match in bracket]) for bracket in brackets])
