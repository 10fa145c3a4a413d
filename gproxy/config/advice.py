"""What is allowed, and hardly meant: `gproxy check` tells it, and all goes on.

This works on the document, as `references` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gproxy.config.load import Loaded
from gproxy.config.tree import rules, tables, within
from gproxy.dns.options import DnsConditions
from gproxy.route.further_options import MEANINGLESS
from gproxy.schema.model import fields_of
from gproxy.schema.problem import KeyPath, Problem, dotted

_FINAL = ("route", "reject", "hijack-dns", "predefined", "respond")
_NO_ITEMS = frozenset({"invert", "time_zone", "rule_set_ip_cidr_match_source"})


_ASKING = fields_of(DnsConditions).keys() - _NO_ITEMS  # all that rules of either kind may ask


def advice(tree: Mapping[str, Any]) -> list[Problem]:
    """What is to be told about a document without mistakes."""
    told: list[Problem] = []
    for section in ("route", "dns"):
        listed, at = within(tree, section, "rules"), (section, "rules")
        told.extend(_about_items(tree, section))
        told.extend(_unreachable(listed, at))
        if section == "route":
            told.extend(_unsniffed(listed, at))
    return told


def advice_text(loaded: Loaded) -> str:
    """The same for a terminal, each with its line; empty if there is nothing to tell."""
    told = advice(loaded.tree)
    if not told:
        return ""
    from gproxy.config.report import report

    return report(
        loaded, [Problem(each.path, f"warning: {each.message}", each.hint, each.at_key) for each in told]
    ).report


def _about_items(tree: Mapping[str, Any], section: str) -> Iterator[Problem]:
    for path, rule in rules(tree, section):
        for item in MEANINGLESS:
            if rule.get(item) and rule.get("type") != "logical":
                yield Problem((*path, item), "never matches on Linux", at_key=True)
        if rule.get("clash_mode") and not within(tree, "route", "default_mode"):
            yield Problem(
                (*path, "clash_mode"), "never matches: there is no mode", "`route.default_mode` sets one", at_key=True
            )


def _unsniffed(value: object, at: KeyPath) -> Iterator[Problem]:
    """What rules ask about a sniff that no rule before them does."""
    for path, rule in tables(value, at):
        if rule.get("action") == "sniff":
            return
        for item in ("protocol", "client"):
            if rule.get(item):
                yield Problem(
                    (*path, item), "nothing is known of it: no rule before this one does `sniff`", at_key=True
                )
        yield from _unsniffed(rule.get("rules"), (*path, "rules"))


def _unreachable(value: object, at: KeyPath) -> Iterator[Problem]:
    """The first rule behind one that decides about everything: all that follow are meant by it."""
    decided: KeyPath | None = None
    for path, rule in tables(value, at):
        if decided is not None:
            yield Problem(path, f"never reached: {dotted(decided)} decides about all that comes so far")
            return
        if _asks_nothing(rule) and rule.get("action", "route") in _FINAL:
            decided = path


def _asks_nothing(rule: Mapping[str, Any]) -> bool:
    if rule.get("type", "default") not in {"", "default"}:
        return False
    return not any(rule.get(item) not in (None, "", False, [], {}) for item in _ASKING)
