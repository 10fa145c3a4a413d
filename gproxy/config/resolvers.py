"""What the `dns` table can't know by itself: servers that are named and not there, names that nobody is to look up,
servers that would need themselves to be reached.

A DNS server that is called by a name needs another one to find it, and so does whatever leads there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from gproxy.base.address import parse_host
from gproxy.config.tree import Entry, entries, rules, tables, tag_of, text, texts, within
from gproxy.protocol import OUTBOUNDS
from gproxy.schema.groups import Dial
from gproxy.schema.groups import Server as ServerOptions
from gproxy.schema.problem import KeyPath, Problem, dotted, near_miss

_AT: Final = ("dns", "servers")
_IMPLICIT: Final[Mapping[str, Entry]] = {"local": (_AT, {"type": "local"})}
_MANY: Final = 50  # complaints, after which nobody needs a hint with each

_KNOWING: Final = frozenset({"hosts", "local", "mdns", "dhcp", "fakeip"})
_SEARCHING: Final = frozenset({"local", "dhcp"})
_ASKING: Final = frozenset({"route", "evaluate"})


def resolver_problems(
    tree: Mapping[str, Any], inbounds: Mapping[str, KeyPath], outbounds: Mapping[str, Entry]
) -> Iterator[Problem]:
    """What is wrong with DNS servers and with those who name them. `outbounds` are all that the document has."""
    servers: dict[str, Entry] = {}
    for path, entry in tables(within(tree, "dns", "servers"), _AT):
        tag = tag_of(path, entry)
        first = servers.setdefault(tag, (path, entry))
        if first[0] is not path:
            where = (*path, "tag") if entry.get("tag") else path
            yield Problem(where, f"the tag `{tag}` is taken by {dotted(first[0])}")
    if not servers and isinstance(tree.get("dns"), dict):
        servers.update(_IMPLICIT)
    yield from _unknown_servers(tree, servers)
    yield from _unknown_others(tree, servers, inbounds, outbounds)
    yield from _unfit(tree, servers)
    yield from _Ways(tree, servers, outbounds).problems()


# -- tags -------------------------------------------------------------------------------------------------------------


def _unknown_servers(tree: Mapping[str, Any], servers: Mapping[str, Entry]) -> Iterator[Problem]:
    count = 0
    for path, tag in _uses(tree):
        if tag not in servers:
            hint = near_miss(tag, servers) if count < _MANY else ""
            if not servers:
                hint = "there is no `dns` table"
            count += 1
            yield Problem(path, f"no DNS server has the tag `{tag}`", hint)


def _uses(tree: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """Every place where a DNS server is named."""
    yield from text(within(tree, "dns", "final"), ("dns", "final"))
    for path, rule in rules(tree, "dns"):
        yield from text(rule.get("server"), (*path, "server"))
        for key in ("preferred_by", "search_domain_available"):
            yield from texts(rule, path, key)
    for path, rule in rules(tree, "route"):
        yield from text(rule.get("server"), (*path, "server"))
    yield from _resolver(within(tree, "route", "default_domain_resolver"), ("route", "default_domain_resolver"))
    for path, entry in tables(within(tree, "dns", "servers"), _AT):
        yield from texts(entry, path, "servers")
    for path, entry in (*entries(tree, "outbounds"), *tables(within(tree, "dns", "servers"), _AT)):
        yield from _resolver(entry.get("domain_resolver"), (*path, "domain_resolver"))


def _unknown_others(
    tree: Mapping[str, Any],
    servers: Mapping[str, Entry],
    inbounds: Mapping[str, KeyPath],
    outbounds: Mapping[str, Entry],
) -> Iterator[Problem]:
    """Inbounds in rules, and outbounds that servers are asked through."""
    for path, rule in rules(tree, "dns"):
        for where, tag in texts(rule, path, "inbound"):
            if tag not in inbounds:
                yield Problem(where, f"no inbound has the tag `{tag}`", near_miss(tag, inbounds))
    known = list(outbounds) or ["direct"]
    for path, entry in servers.values():
        for where, tag in text(entry.get("detour"), (*path, "detour")):
            if tag not in known:
                yield Problem(where, f"no outbound has the tag `{tag}`", near_miss(tag, known))


def _unfit(tree: Mapping[str, Any], servers: Mapping[str, Entry]) -> Iterator[Problem]:
    """Servers of a type that can't do what they are named for."""
    for path, rule in rules(tree, "dns"):
        for key, fit in (("preferred_by", _KNOWING), ("search_domain_available", _SEARCHING)):
            for where, tag in texts(rule, path, key):
                kind = servers[tag][1].get("type") if tag in servers else None
                if isinstance(kind, str) and kind not in fit:
                    yield Problem(where, f"a DNS server of type `{kind}` can't tell that", f"{_or(fit)} can")
    for path, entry in servers.values():
        for where, member in texts(entry, path, "servers"):
            if _kind(servers, member) == "fakeip":
                yield Problem(where, "a DNS server of type `fakeip` stands for no other")
    for path, rule in rules(tree, "dns"):
        if rule.get("action") == "evaluate" and _kind(servers, rule.get("server")) == "fakeip":
            yield Problem((*path, "server"), "`evaluate` can't ask a DNS server of type `fakeip`")
    final = within(tree, "dns", "final") or next(iter(servers), "")
    if _kind(servers, final) == "fakeip":
        yield Problem(("dns", "final"), "can't be a DNS server of type `fakeip`: gproxy itself would find nothing")


def _kind(servers: Mapping[str, Entry], tag: object) -> object:
    return servers[tag][1].get("type") if isinstance(tag, str) and tag in servers else None


# -- ways -------------------------------------------------------------------------------------------------------------


class _Ways:
    """Who has to look up which name, to reach what."""

    def __init__(self, tree: Mapping[str, Any], servers: Mapping[str, Entry], outbounds: Mapping[str, Entry]) -> None:
        self._servers = servers
        self._outbounds = outbounds
        self._default = _tag_of_resolver(within(tree, "route", "default_domain_resolver"))
        if not self._default and len(servers) == 1:
            self._default = next(iter(servers))

    def problems(self) -> Iterator[Problem]:
        for path, entry in self._servers.values():
            if _named(entry) and not entry.get("detour") and not _tag_of_resolver(entry.get("domain_resolver")):
                yield Problem(
                    path,
                    f"`domain_resolver` is missing: `{entry['server']}` is a name",
                    "expected the tag of a DNS server that finds its address",
                )
        yield from self._unfound()
        yield from self._circles()

    def _unfound(self) -> Iterator[Problem]:
        """The first outbound that has names to look up, if nothing says by which of several servers."""
        if len(self._servers) < 2 or self._default:
            return
        which = "there are several DNS servers, and nothing says which of them"
        hint = "expected it here, or `route.default_domain_resolver`"
        if not self._outbounds:
            yield Problem(("dns", "servers"), f"{which} finds addresses", "expected `route.default_domain_resolver`")
        for path, entry in self._outbounds.values():
            if self._looks_up(entry, named=True) and not _tag_of_resolver(entry.get("domain_resolver")):
                yield Problem(path, f"`domain_resolver` is missing: {which} finds {_whose(entry)}", hint)
                return

    def _circles(self) -> Iterator[Problem]:
        """Each circle once, at its first server."""
        leads = {tag: dict(self._needs(tag)) for tag in self._servers}
        settled: set[str] = set()
        for start in self._servers:
            circle = _circle(start, lambda tag: leads.get(tag, {}), settled)
            if circle:
                steps = zip(circle, [*circle[1:], circle[0]], strict=True)
                way = " → ".join(f"`{tag}` needs `{then}` to find {leads[tag][then]}" for tag, then in steps)
                path, _ = self._servers[circle[0]]
                yield Problem(path, f"DNS servers that need themselves: {way}")

    def _needs(self, tag: str) -> Iterator[tuple[str, str]]:
        """The servers that are asked before this one can be, each with the name that it is asked for."""
        path, entry = self._servers[tag]
        for _, member in texts(entry, path, "servers"):
            if member in self._servers:
                yield member, "all that it is asked"
        own = _tag_of_resolver(entry.get("domain_resolver"))
        named = _named(entry)
        if named and own:
            yield own, f"`{entry['server']}`"
            named = False
        detour = entry.get("detour")
        if isinstance(detour, str) and detour:
            yield from self._needs_of(detour, entry["server"] if named else "", ())

    def _needs_of(self, tag: str, name: str, seen: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        """The same for an outbound that is led to this name, or to an address (empty)."""
        if tag not in self._outbounds or tag in seen:
            return
        _, entry = self._outbounds[tag]
        if _is_proxy(entry):
            name = entry["server"] if _named(entry) else ""
        own = _tag_of_resolver(entry.get("domain_resolver"))
        detour = entry.get("detour")
        if isinstance(detour, str) and detour:
            if name and own:
                yield own, f"`{name}`"
                name = ""
            yield from self._needs_of(detour, name, (*seen, tag))
        elif name and (own or self._default) and self._looks_up(entry, named=True):
            yield own or self._default, f"`{name}`"

    @staticmethod
    def _looks_up(entry: Mapping[str, Any], *, named: bool) -> bool:
        """Whether an outbound by itself looks names up: its server's, or that of its target."""
        if entry.get("detour"):
            return False
        return _named(entry) if _is_proxy(entry) else named and _dials(entry)


def _circle(start: str, leads: Callable[[str], Mapping[str, str]], settled: set[str]) -> list[str]:
    """A circle that can be reached from here, beginning with the one of its members that is met first."""
    way: list[str] = []
    open_: list[Iterator[str]] = [iter((start,))]
    while open_:
        tag = next(open_[-1], None)
        if tag is None:
            open_.pop()
            if way:
                settled.add(way.pop())
        elif tag in way:
            settled.update(way)
            return way[way.index(tag) :]
        elif tag not in settled:
            way.append(tag)
            open_.append(iter(leads(tag)))
    return []


def _named(entry: Mapping[str, Any]) -> bool:
    """Whether it has a server that is called by a name."""
    server = entry.get("server")
    if not isinstance(server, str):
        return False
    try:
        return isinstance(parse_host(server), str)
    except ValueError:
        return False


def _is_proxy(entry: Mapping[str, Any]) -> bool:
    return _is(entry, ServerOptions)


def _dials(entry: Mapping[str, Any]) -> bool:
    return _is(entry, Dial)


def _is(entry: Mapping[str, Any], group: type) -> bool:
    kind = entry.get("type")
    return isinstance(kind, str) and kind in OUTBOUNDS and issubclass(OUTBOUNDS.row(kind).options, group)


def _whose(entry: Mapping[str, Any]) -> str:
    return f"`{entry['server']}`" if _named(entry) else "the names that it is led to"


def _resolver(value: object, at: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(value, dict):
        yield from text(value.get("server"), (*at, "server"))
    else:
        yield from text(value, at)


def _tag_of_resolver(value: object) -> str:
    return next((tag for _, tag in _resolver(value, ())), "")


def _or(kinds: frozenset[str]) -> str:
    return " or ".join(f"`{kind}`" for kind in sorted(kinds))
