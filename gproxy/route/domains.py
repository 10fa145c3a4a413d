"""Sets of domains and domain suffixes: few of them in a hash set, many of them in a trie."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from typing import Any

# All rules ask about the same name, one after the other. A hostile name has 127 labels, so few are kept.
_REMEMBERED = 128

MANY = 1000
"""So many domains are better kept in a trie: it has ten bytes for each, and a hash set a hundred."""

# What no domain has: behind a whole name, and behind the number of a set that is not the only one of its trie.
_END = "\x02"
_NUMBERED = "\x01"


@lru_cache(_REMEMBERED)
def family(name: str) -> tuple[str, ...]:
    """The name, and with a leading dot each domain that it is below: `a.b.c` → `a.b.c`, `.b.c`, `.c`."""
    labels = name.split(".")
    return (name, *("." + ".".join(labels[above:]) for above in range(1, len(labels))))


def members_of(domains: Iterable[str], suffixes: Iterable[str]) -> frozenset[str]:
    """What the family of a name has in common with it if the name is one of the domains, or has one of the suffixes."""
    members = set(domains)
    for suffix in suffixes:
        members.add(suffix)
        if suffix[:1] != ".":
            members.add("." + suffix)
    return frozenset(members)


class DomainSet:
    """Domains by name, and with everything below them: `x.y` as a suffix is itself and below, `.x.y` only below.

    Membership costs one look-up for each label of the name, whatever the number of domains. All are lower-case.
    """

    __slots__ = ("_members",)

    def __init__(self, domains: Iterable[str], suffixes: Iterable[str]) -> None:
        self._members = members_of(domains, suffixes)

    def __contains__(self, name: str) -> bool:
        return not self._members.isdisjoint(family(name))


class DomainTrie:
    """The same of a trie (see `trie_keys`), whose membership costs one walk along the name, from its end.

    A trie is memory outside Python's: processes that are forked share it, and it can be mapped from a file.
    """

    __slots__ = ("_find", "_prefix")

    def __init__(self, trie: Any, number: int = 0) -> None:
        """`trie` is a marisa_trie.Trie, and `number` that of the set within it."""
        self._find = trie.prefixes
        self._prefix = _prefix(number)

    def __contains__(self, name: str) -> bool:
        prefix = self._prefix
        key = name[::-1] + _END
        return bool(self._find(prefix + key if prefix else key))


def domain_set(domains: Collection[str], suffixes: Collection[str]) -> DomainSet | DomainTrie:
    """The set of these, all of them lower-case, as it is kept best."""
    if len(domains) + len(suffixes) < MANY:
        return DomainSet(domains, suffixes)
    return DomainTrie(make_trie(trie_keys(domains, suffixes)))


def trie_keys(domains: Iterable[str], suffixes: Iterable[str], number: int = 0) -> Iterator[str]:
    """What is put into a trie for the set of this number: names from their ends, and how they end.

    With `|` for the end: `a.b` is `b.a|`; the suffix `.a.b` is `b.a.`, and `a.b` is both. A name with `|` behind it,
    read from its end, begins with one of these if it is in the set.
    """
    prefix = _prefix(number)
    for domain in domains:
        yield f"{prefix}{domain[::-1]}{_END}"
    for suffix in suffixes:
        name = prefix + suffix[::-1]
        if suffix[:1] == ".":
            yield name
        else:
            yield name + _END
            yield name + "."


def _prefix(number: int) -> str:
    return f"{number}{_NUMBERED}" if number else ""


def make_trie(keys: Iterable[str]) -> Any:
    """A marisa_trie.Trie of these keys. With one level it is a quarter larger than it need be, and much faster."""
    import marisa_trie

    return marisa_trie.Trie(keys, num_tries=1)


def folded(names: Iterable[str]) -> Iterator[str]:
    """Domains and suffixes as sessions have them: lower-case and in ASCII. What no name can ever be is left out."""
    for name in names:
        if not name.isascii():
            dot = name[:1] == "."
            try:
                name = "." * dot + name[dot:].encode("idna").decode("ascii")
            except UnicodeError:
                continue
        if name.isprintable():
            yield name.lower()
