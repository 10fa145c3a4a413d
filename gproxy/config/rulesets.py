"""What no rule set can know by itself: tags that are used twice or nowhere, outbounds that are not there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from gproxy.config.tree import elements, rules, tables, within
from gproxy.schema.problem import KeyPath, Problem, dotted, near_miss

_MANY = 50  # complaints, after which nobody needs a hint with each


def rule_set_problems(tree: Mapping[str, Any], outbounds: Mapping[str, KeyPath]) -> Iterator[Problem]:
    """What is wrong with rule sets and with the rules that name them, in `route` and in `dns`."""
    tags: dict[str, KeyPath] = {}
    for path, entry in tables(within(tree, "route", "rule_set"), ("route", "rule_set")):
        for where, tag in elements(entry.get("tag"), (*path, "tag")):
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
        named = [elements(rule.get("rule_set"), (*path, "rule_set")) for path, rule in rules(tree, section)]
        for where, tag in chain.from_iterable(named):
            if isinstance(tag, str) and tag not in tags:
                hint = near_miss(tag, tags) if count < _MANY else ""
                count += 1
                yield Problem(where, f"no rule set has the tag `{tag}`", hint)
