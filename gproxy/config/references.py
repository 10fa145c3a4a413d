"""What no table can know by itself: tags that are used twice or nowhere, detours that go in circles, ports bound twice.

This works on the document and not on the model, so that these problems are told together with all others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from gproxy.config.bytype import INBOUND, SERVICE, ByType
from gproxy.config.listening import Listening, check_listen, listening, unshareable
from gproxy.config.providers import Shown, names_provider, shown
from gproxy.config.resolvers import resolver_problems
from gproxy.config.rulesets import rule_set_problems
from gproxy.config.tree import elements, entries, rules, tables, tag_of, text, texts, within
from gproxy.route.further_options import DATABASES
from gproxy.schema.groups import Bind, Dial, Listen, Manageable, NetworkChoice
from gproxy.schema.model import fields_of, read_chosen
from gproxy.schema.problem import KeyPath, Problem, dotted, near_miss

if TYPE_CHECKING:
    from gproxy.config.root import Root

Tags = Mapping[str, KeyPath]

_MANY = 50  # complaints, after which nobody needs a hint with each: finding the nearest of many tags takes its time

_WITH_DETOUR = ("detour", "domain_resolver")

_IMPLIED: Mapping[str, Tags] = {"inbounds": {}, "outbounds": {"direct": ("outbounds",)}}
"""Without any outbound there is one, `direct`."""


class Use(NamedTuple):
    """A place where a tag is used."""

    tag: str
    path: KeyPath


class Bound(NamedTuple):
    """What is bound, and by whom: None: by an order of certificates."""

    at: Listening
    options: Bind | None

    def clash(self, rival: Bound) -> Problem | None:
        """What is wrong with both binding the same, if anything is."""
        hint = ""
        who = dotted(rival.at.path[:2])
        if rival.at.path[:2] == self.at.path[:2]:
            who = "this one itself"
        elif isinstance(self.options, Listen) and isinstance(rival.options, Listen) and self.at.what != "udp":
            hint = unshareable(rival.options, self.options)
            if not hint:
                return None
        return Problem(self.at.path, f"{self.at.overlap(rival.at)} is bound by {who} already", hint)


def references(tree: Mapping[str, Any], problems: list[Problem]) -> None:
    """Add every problem with tags, detours and ports to `problems`."""
    for section, kind in (("inbounds", "inbound"), ("outbounds", "outbound")):
        tags = _tags(tree, section, problems) or _IMPLIED[section]
        uses = [*_detours(tree, section), *_uses_in_route(tree, kind)]
        uses += _uses_in_services(tree) if kind == "inbound" else _uses_in_metrics(tree)
        for use in uses:
            if use.tag not in tags:
                hint = _meant(use.tag, tags, kind) if len(problems) < _MANY else ""
                problems.append(Problem(use.path, f"no {kind} has the tag `{use.tag}`", hint))
        problems.extend(_circles(tree, section, tags))
    _tags(tree, "services", problems)
    problems.extend(_limits(tree, problems))
    orders = _certificates(tree, problems)
    problems.extend(_not_managed(tree))
    problems.extend(_listening_problems(tree, orders))
    problems.extend(_detoured_datagrams(tree))
    problems.extend(_no_such_port(tree))
    problems.extend(_beside_detour(tree))
    by_tag = {tag_of(path, entry): (path, entry) for path, entry in entries(tree, "outbounds")}
    problems.extend(resolver_problems(tree, _tags(tree, "inbounds", []), by_tag))
    problems.extend(rule_set_problems(tree, _tags(tree, "outbounds", []) or _IMPLIED["outbounds"]))
    for section in ("route", "dns"):
        problems.extend(_without_database(tree, section))


def outbound_tags(root: Root) -> list[str]:
    """The tags of the outbounds that there are, the implied one too."""
    return [each.tag or str(index) for index, each in enumerate(root.outbounds)] or list(_IMPLIED["outbounds"])


def _meant(tag: str, tags: Tags, kind: str) -> str:
    return near_miss(tag, tags) or (f"there is {_listed(tags)}" if tags else f"there is no {kind} at all")


def _tags(tree: Mapping[str, Any], section: str, problems: list[Problem]) -> dict[str, KeyPath]:
    tags: dict[str, KeyPath] = {}
    for path, entry in entries(tree, section):
        tag = tag_of(path, entry)
        first = tags.setdefault(tag, path)
        if first is not path:
            where = (*path, "tag") if entry.get("tag") else path
            problems.append(Problem(where, f"the tag `{tag}` is taken by {dotted(first)}"))
    return tags


def _detours(tree: Mapping[str, Any], section: str) -> Iterator[Use]:
    for path, entry in entries(tree, section):
        yield from (Use(tag, at) for at, tag in text(entry.get("detour"), (*path, "detour")))


def _uses_in_route(tree: Mapping[str, Any], kind: str) -> Iterator[Use]:
    """The tags that rules name: an outbound each, and any number of inbounds or limits, also inside logical rules."""
    for path, rule in rules(tree, "route"):
        yield from (Use(tag, at) for at, tag in texts(rule, path, kind))
    if kind == "outbound":
        yield from (Use(tag, at) for at, tag in text(within(tree, "route", "final"), ("route", "final")))


def _uses_in_services(tree: Mapping[str, Any]) -> Iterator[Use]:
    """The tags of the inbounds that services manage."""
    for path, entry in entries(tree, "services"):
        servers = entry.get("servers")
        if isinstance(servers, dict):
            yield from (Use(tag, (*path, "servers", name)) for name, tag in servers.items() if isinstance(tag, str))


def _uses_in_metrics(tree: Mapping[str, Any]) -> Iterator[Use]:
    """The tags of the outbounds that have to reach something for gproxy to be ready."""
    for path, entry in entries(tree, "services"):
        upstreams = entry.get("upstreams")
        if isinstance(upstreams, dict):
            yield from (Use(tag, (*path, "upstreams", tag)) for tag in upstreams)


def _limits(tree: Mapping[str, Any], problems: list[Problem]) -> Iterator[Problem]:
    """Whom limits are for, and which ones inbounds and rules ask for."""
    tags = _tags(tree, "limits", problems)
    uses = [
        Use(tag, (*path, "limits", *at))
        for path, entry in entries(tree, "inbounds")
        for at, tag in elements(entry.get("limits"), ())
        if isinstance(tag, str)
    ]
    uses += _uses_in_route(tree, "limits")
    for use in uses:
        if use.tag not in tags:
            yield Problem(use.path, f"no limit has the tag `{use.tag}`", _meant(use.tag, tags, "limit"))
    for kind in ("inbound", "outbound"):
        known = _tags(tree, f"{kind}s", []) or _IMPLIED[f"{kind}s"]
        for path, entry in entries(tree, "limits"):
            for at, tag in elements(entry.get(f"{kind}s"), (*path, f"{kind}s")):
                if isinstance(tag, str) and tag not in known:
                    yield Problem(at, f"no {kind} has the tag `{tag}`", _meant(tag, known, kind))


def _not_managed(tree: Mapping[str, Any]) -> Iterator[Problem]:
    """What a service manages asks for it, and has one manager."""
    inbounds = {tag_of(path, entry): (path, entry) for path, entry in entries(tree, "inbounds")}
    first: dict[str, KeyPath] = {}
    for tag, path in _uses_in_services(tree):
        if tag not in inbounds:
            continue
        where, entry = inbounds[tag]
        options = read_chosen(INBOUND, entry, where, [])
        if options is not None and not (isinstance(options, Manageable) and options.managed):
            yield Problem(path, f"inbound `{tag}` is not managed", "expected `managed = true` in it")
        elif tag in first:
            yield Problem(path, f"`{tag}` is managed by {dotted(first[tag])} already")
        first.setdefault(tag, path)


def _without_database(tree: Mapping[str, Any], section: str) -> Iterator[Problem]:
    """Rules that ask a database which is not named."""
    for path, rule in rules(tree, section):
        for item, table in DATABASES.items():
            asked = [value for _, value in elements(rule.get(item), ()) if value != "private"]
            named = within(tree, "route", table)
            if asked and not (isinstance(named, dict) and named.get("path")):
                yield Problem((*path, item), f"`route.{table}.path` is missing: it says where the database is")


def _circles(tree: Mapping[str, Any], section: str, tags: Tags) -> Iterator[Problem]:
    """Each circle of detours once, at its first entry."""
    leads_to = {
        tag_of(path, entry): entry["detour"]
        for path, entry in reversed(list(entries(tree, section)))
        if isinstance(entry.get("detour"), str)
    }
    settled: set[str] = set()
    for start in tags:
        way: list[str] = []
        tag = start
        while tag in leads_to and tag not in settled and tag not in way:
            way.append(tag)
            tag = leads_to[tag]
        if tag in way:
            circle = way[way.index(tag) :]
            first = min(circle, key=lambda each: list(tags).index(each))
            turn = circle.index(first)
            named = " → ".join(f"`{each}`" for each in [*circle[turn:], *circle[:turn], first])
            yield Problem((*tags[first], "detour"), f"detours in a circle: {named}")
        settled.update(way)


def _certificates(tree: Mapping[str, Any], problems: list[Problem]) -> list[Shown]:
    """Those that are to be ordered; adds what is wrong with how they are used."""
    tags = _tags(tree, "certificate_providers", problems)
    for path, entry in entries(tree, "inbounds"):
        tag = names_provider(entry)
        if tag and tag not in tags:
            hint = _meant(tag, tags, "certificate provider") if len(problems) < _MANY else ""
            where = (*path, "tls", "certificate_provider")
            problems.append(Problem(where, f"no certificate provider has the tag `{tag}`", hint))
    providers = {tag_of(path, entry): (path, entry) for path, entry in entries(tree, "certificate_providers")}
    orders = shown(providers, list(entries(tree, "inbounds")))
    for order in orders:
        problems.extend(order.problems())
    return orders


def _listening_problems(tree: Mapping[str, Any], orders: Iterable[Shown]) -> Iterator[Problem]:
    seen: list[Bound] = []
    for order in orders:  # they may share a port with each other, but with nobody else
        seen += (Bound(each, None) for each in order.listening() if not any(each.clashes(other.at) for other in seen))
    sections: list[tuple[str, ByType]] = [("inbounds", INBOUND), ("services", SERVICE)]
    for section, chooser in sections:
        for path, entry in entries(tree, section):
            options = read_chosen(chooser, entry, path, [])  # a table that is wrong in itself was complained of already
            if options is None:
                continue
            wrong = list(check_listen(options, path))
            yield from wrong
            if not wrong:
                yield from _bound_twice([Bound(each, options) for each in listening(options, path)], seen)


def _bound_twice(mine: list[Bound], seen: list[Bound]) -> Iterator[Problem]:
    """Complain about what is bound already, and note the rest in `seen`."""
    for each in mine:
        for rival in seen:
            if rival.at.clashes(each.at) and (problem := each.clash(rival)) is not None:
                yield problem
                break
        seen.append(each)


def _detoured_datagrams(tree: Mapping[str, Any]) -> Iterator[Problem]:
    """An inbound's detour carries streams only, so that both of its ends must."""
    inbounds = list(entries(tree, "inbounds"))
    networks = {tag_of(path, entry): _networks(entry, path) for path, entry in inbounds}
    for path, entry in inbounds:
        if isinstance(detour := entry.get("detour"), str) and detour:
            if "udp" in _networks(entry, path):
                yield Problem((*path, "detour"), "carries no UDP", 'expected `network = "tcp"` beside it')
            if "tcp" not in networks.get(detour, ("tcp",)):
                yield Problem((*path, "detour"), f"`{detour}` takes no TCP")


def _networks(entry: Mapping[str, Any], path: KeyPath) -> tuple[str, ...]:
    """What an inbound listens for."""
    options = read_chosen(INBOUND, entry, path, [])
    return options.networks() if isinstance(options, NetworkChoice) else ("tcp",)


def _no_such_port(tree: Mapping[str, Any]) -> Iterator[Problem]:
    for path, entry in entries(tree, "outbounds"):
        port = entry.get("server_port")
        if port == 0 and not isinstance(port, bool):
            yield Problem((*path, "server_port"), "expected a port number, 1 to 65535")


def _beside_detour(tree: Mapping[str, Any]) -> Iterator[Problem]:
    """Who has a detour makes no sockets, so what shapes them is a misunderstanding."""
    servers = tables(within(tree, "dns", "servers"), ("dns", "servers"))
    for path, entry in (*entries(tree, "outbounds"), *servers):
        if entry.get("detour"):
            for key in fields_of(Dial):
                if key not in _WITH_DETOUR and entry.get(key) is not None:
                    yield Problem((*path, key), "has no effect beside `detour`: leave one of them out", at_key=True)


def _listed(tags: Tags) -> str:
    names = [f"`{tag}`" for tag in tags]
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
