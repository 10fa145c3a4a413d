"""Sets of domains and domain suffixes."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

# All rules ask about the same name, one after the other. A hostile name has 127 labels, so few are kept.
_REMEMBERED = 128


@lru_cache(_REMEMBERED)
def family(name: str) -> tuple[str, ...]:
    """The name, and with a leading dot each domain that it is below: `a.b.c` → `a.b.c`, `.b.c`, `.c`."""
    labels = name.split(".")
    return (name, *("." + ".".join(labels[above:]) for above in range(1, len(labels))))


class DomainSet:
    """Domains by name, and with everything below them: `x.y` as a suffix is itself and below, `.x.y` only below.

    Membership costs one look-up for each label of the name, whatever the number of domains. All are lower-case.
    """

    __slots__ = ("_members",)

    def __init__(self, domains: Iterable[str], suffixes: Iterable[str]) -> None:
        members = set(domains)
        for suffix in suffixes:
            members.add(suffix)
            if suffix[:1] != ".":
                members.add("." + suffix)
        self._members = frozenset(members)

    def __contains__(self, name: str) -> bool:
        return not self._members.isdisjoint(family(name))
