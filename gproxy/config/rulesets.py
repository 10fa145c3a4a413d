"""What no rule set can know by itself: tags that are used twice or nowhere, outbounds that are not there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gproxy.schema.problem import KeyPath, Problem, dotted, near_miss

_MANY = 50  # complaints, after which nobody needs a hint with each


def rule_set_problems(tree: Mapping[str, Any], outbounds: Mapping[str, KeyPath]) -> Iterator[Problem]:
    """What is wrong with rule sets and with the rules that name them, in `route` and in `dns`."""
    tags: dict[str, KeyPath] = {}
    route = tree.get("route")
    entries = list(_each(route.get("rule_set"), ("route", "rule_set"))) if isinstance(route, dict) else []
    for path, entry in entries:
        if not isinstance(entry, dict):
            continue
        for where, tag in _each(entry.get("tag"), (*path, "tag")):
            if isinstance(tag, str) and tags.setdefault(tag, where) is not where:
                yield Problem(where, f"the tag `{tag}` is taken by {dotted(tags[tag])}")
        detour = entry.get("download_detour")
        if isinstance(detour, str) and detour and detour not in outbounds:
            hint = near_miss(detour, outbounds)
            yield Problem((*path, "download_detour"), f"no outbound has the tag `{detour}`", hint)
    yield from _unknown(tree, tags)


def _unknown(tree: Mapping[str, Any], tags: Mapping[str, KeyPath]) -> Iterator[Problem]:
    count = 0
    for section in ("route", "dns"):
        table = tree.get(section)
        for where, tag in _named(table.get("rules") if isinstance(table, dict) else None, (section, "rules")):
            if tag not in tags:
                hint = near_miss(tag, tags) if count < _MANY else ""
                count += 1
                yield Problem(where, f"no rule set has the tag `{tag}`", hint)


def _named(rules: object, at: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """The tags that rules name, also inside logical rules."""
    for path, rule in _each(rules, at):
        if isinstance(rule, dict):
            for where, tag in _each(rule.get("rule_set"), (*path, "rule_set")):
                if isinstance(tag, str):
                    yield where, tag
            yield from _named(rule.get("rules"), (*path, "rules"))


def _each(value: object, at: KeyPath) -> Iterator[tuple[KeyPath, object]]:
    if isinstance(value, list):
        yield from (((*at, index), element) for index, element in enumerate(value))
    elif value is not None:
        yield at, value
