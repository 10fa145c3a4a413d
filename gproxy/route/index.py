"""Which rules of many can match a session at all, found by what most of them look for, and not by asking each.

A rule that looks for domains and prefixes, for users, for ports or for inbounds can match only a session that has one
of those. So each such rule is entered under all of one kind of them; the others are always asked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

from gproxy.base.session import Session
from gproxy.route.cidrs import NOT_PUBLIC, CidrSet, Network
from gproxy.route.domains import MANY, family, members_of
from gproxy.route.groups import Groups
from gproxy.route.items import TargetIpItem, domain_of
from gproxy.route.options import Conditions

# Fewer entered rules than this are asked as fast as they are found.
_FEW: Final = 8

# A range of more ports is not entered port by port.
_WIDE: Final = 64

# What was found for a session is mostly what was found for another one.
_REMEMBERED: Final = 1024

_NAMED: Final = frozenset({"domain", "ip_cidr"})

_K = TypeVar("_K", bound=Hashable)


class Index:
    """Made of the rules, in their order: of each its options and groups, or None if it is to be asked always."""

    __slots__ = ("_all", "_always", "_in_prefixes", "_inbounds", "_members", "_names", "_ports", "_prefixed",
                 "_together", "_users")  # fmt: skip

    def __init__(self, rules: Sequence[tuple[Conditions, Groups] | None]) -> None:
        entries = _Entries()
        for number, rule in enumerate(rules):
            if rule is None or not entries.enter(number, *rule):
                entries.always.append(number)
        self._all = tuple(range(len(rules)))
        self._always = tuple(entries.always) if len(rules) - len(entries.always) >= _FEW else self._all
        self._names = _settled(entries.names)
        self._members = frozenset(self._names)
        self._in_prefixes = TargetIpItem(CidrSet(entries.networks)).match
        self._prefixed = tuple(entries.prefixed)
        self._users = _settled(entries.users)
        self._ports = _settled(entries.ports)
        self._inbounds = _settled(entries.inbounds)
        self._together: dict[tuple[int, ...], tuple[int, ...]] = {}

    def candidates(self, session: Session) -> Sequence[int]:
        """The numbers of the rules that may match, in order: all that do are among them."""
        if self._always is self._all:
            return self._all
        found: tuple[int, ...] = ()
        name = domain_of(session)
        if name and not self._members.isdisjoint(family(name)):
            for each in family(name):
                found += self._names.get(each, ())
        if self._prefixed and self._in_prefixes(session):
            found += self._prefixed
        if self._users and session.user in self._users:
            found += self._users[session.user]
        if session.target.port in self._ports:
            found += self._ports[session.target.port]
        if session.inbound in self._inbounds:
            found += self._inbounds[session.inbound]
        return self._with_those_always_asked(found) if found else self._always

    def _with_those_always_asked(self, found: tuple[int, ...]) -> tuple[int, ...]:
        together = self._together.get(found)
        if together is None:
            if len(self._together) >= _REMEMBERED:
                self._together.clear()
            together = self._together[found] = tuple(sorted({*found, *self._always}))
        return together


class _Entries:
    """What rules are entered under."""

    def __init__(self) -> None:
        self.always: list[int] = []
        self.names: dict[str, list[int]] = defaultdict(list)
        self.networks: list[Network] = []
        self.prefixed: list[int] = []
        self.users: dict[str | None, list[int]] = defaultdict(list)
        self.ports: dict[int, list[int]] = defaultdict(list)
        self.inbounds: dict[str, list[int]] = defaultdict(list)

    def enter(self, number: int, options: Conditions, groups: Groups) -> bool:
        """Whether it could be entered: one kind is enough, and the rarest is the best."""
        if options.invert or options.rule_set:
            return False
        if groups.target and {label for label, _ in groups.target} <= _NAMED:
            return self._by_target(number, options)
        if options.auth_user:
            return _enter(self.users, options.auth_user, number)
        if groups.port and {label for label, _ in groups.port} == {"port"}:
            return self._by_port(number, options)
        return bool(options.inbound) and _enter(self.inbounds, options.inbound, number)

    def _by_target(self, number: int, options: Conditions) -> bool:
        if len(options.domain) + len(options.domain_suffix) >= MANY:
            return False
        networks = options.ip_cidr + NOT_PUBLIC if options.ip_is_private else options.ip_cidr
        if networks:
            self.networks += networks
            self.prefixed.append(number)
        _enter(self.names, members_of(options.domain, options.domain_suffix), number)
        return True

    def _by_port(self, number: int, options: Conditions) -> bool:
        if any(last - first >= _WIDE for first, last in options.port_range):
            return False
        ports = {int(port) for port in options.port}
        ports.update(port for first, last in options.port_range for port in range(first, last + 1))
        return _enter(self.ports, ports, number)


def _enter(entries: Mapping[_K, list[int]], keys: Iterable[_K], number: int) -> bool:
    for key in keys:
        entries[key].append(number)
    return True


def _settled(entries: Mapping[_K, list[int]]) -> dict[_K, tuple[int, ...]]:
    return {key: tuple(numbers) for key, numbers in entries.items()}
