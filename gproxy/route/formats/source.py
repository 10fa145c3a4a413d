"""Rule sets as source files: JSON with a `version`, 1 to 5, and `rules`. Comments and trailing commas are taken.

As in sing-box, the version says nothing about the items that may stand in a file: it matters when it is compiled.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from gproxy.route.headless import (
    ITEMS,
    VERSION,
    BadRuleSet,
    Headless,
    HeadlessLogical,
    Interface,
    query_type_number,
    query_type_text,
    read_rules,
)
from gproxy.route.prefixes import IpRanges, text_of_six
from gproxy.wire.jsonc import plain_json

Tree = dict[str, Any]

MAX_SOURCE: Final = 64 * 2**20
"""Bytes of a file."""


class Source(NamedTuple):
    """What a file holds. `tree` is the document as it was read: the order and the text of its values are its own."""

    version: int
    rules: list[Headless]
    tree: Tree


def read_source(data: bytes) -> Source:
    """The rules of a file. Raises BadRuleSet for the first mistake, with its path."""
    tree = _document(data)
    version = tree.get("version")
    if version is None:
        raise BadRuleSet("missing", ("version",))
    if isinstance(version, bool) or not isinstance(version, int) or not 1 <= version <= VERSION:
        raise BadRuleSet(f"expected 1 to {VERSION}", ("version",))
    for key in tree:
        if key not in ("version", "rules"):
            raise BadRuleSet("unknown key", (key,))
    rules = tree.get("rules")
    return Source(version, read_rules([] if rules is None else rules), tree)


def _document(data: bytes) -> Tree:
    if len(data) > MAX_SOURCE:
        raise BadRuleSet(f"more than {MAX_SOURCE >> 20} MiB")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise BadRuleSet("not JSON: it is not UTF-8") from None
    try:
        try:
            tree = json.loads(text, object_pairs_hook=_table)
        except json.JSONDecodeError:
            tree = json.loads(plain_json(text), object_pairs_hook=_table)
    except json.JSONDecodeError as error:
        raise BadRuleSet(f"not JSON: {error.msg.lower()} in line {error.lineno}, column {error.colno}") from None
    except (ValueError, RecursionError):  # an integer of thousands of digits, lists in lists in lists
        raise BadRuleSet("not JSON that anybody would write") from None
    if not isinstance(tree, dict):
        raise BadRuleSet("expected a table: a rule set begins with `{`")
    return tree


def _table(pairs: list[tuple[str, Any]]) -> Tree:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise BadRuleSet("a key is given twice in one table")
    return table


def write_source(rules: Sequence[Headless], version: int) -> str:
    """The text of a file. Raises BadRuleSet if a rule has AdGuard's patterns: the format has no place for them."""
    return _text(version, [_tree_of(rule) for rule in rules])


def format_source(source: Source, version: int | None = None) -> str:
    """The same file in the usual layout, with its values as they were written; under another version if asked for."""
    return _text(source.version if version is None else version, _tidy_rules(source))


def merge_sources(sources: Sequence[Source]) -> str:
    """One file with the rules of all, in their order. Its version is the highest of theirs."""
    rules = [rule for source in sources for rule in _tidy_rules(source)]
    return _text(max((source.version for source in sources), default=VERSION), rules)


def _text(version: int, rules: list[Tree]) -> str:
    return json.dumps({"version": version, "rules": rules}, indent=2, ensure_ascii=False) + "\n"


def _tidy_rules(source: Source) -> list[Tree]:
    return [_tidy(rule) for rule in source.tree.get("rules") or []]


def _tidy(rule: Tree) -> Tree:
    """A rule's keys in the usual order, without those that say nothing."""
    if rule.get("type") == "logical":
        tidy = {"type": "logical", "mode": rule["mode"], "rules": [_tidy(inner) for inner in rule["rules"]]}
        return tidy | ({"invert": True} if rule.get("invert") else {})
    return {key: _TIDIERS.get(key, _single)(rule[key]) for key in (*ITEMS, "invert") if _says_something(rule.get(key))}


def _says_something(value: object) -> bool:
    return value is not None and value is not False and value not in ([], {})  # 0 is a port, and a type


def _single(value: Any) -> Any:
    """A list of one as that one, as it is usual."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _tidy_types(value: Any) -> Any:
    numbers = [query_type_number(each) for each in (value if isinstance(value, list) else [value])]
    return _single([query_type_text(number) for number in numbers])


def _tidy_by_kind(value: Any) -> Any:
    return {kind: _single(addresses) for kind, addresses in value.items()}


_TIDIERS: Mapping[str, Callable[[Any], Any]] = {
    "query_type": _tidy_types,
    "network_interface_address": _tidy_by_kind,
}


def _tree_of(rule: Headless) -> Tree:
    tree: Tree = {}
    if isinstance(rule, HeadlessLogical):
        tree = {"type": "logical", "mode": rule.mode, "rules": [_tree_of(inner) for inner in rule.rules]}
    else:
        if rule.adguard_domain:
            raise BadRuleSet("AdGuard's rules can't be told in a source file")
        for item in ITEMS:
            if value := getattr(rule, item):
                tree[item] = _value(item, value)
    return tree | ({"invert": True} if rule.invert else {})


def _value(item: str, value: Any) -> Any:
    if isinstance(value, IpRanges):
        return _single(list(value.prefixes()))
    if item == "query_type":
        return _single([query_type_text(number) for number in value])
    if item == "network_interface_address":
        return {kind: _interfaces(addresses) for kind, addresses in value}
    if item == "default_interface_address":
        return _interfaces(value)
    return value if isinstance(value, bool) else _single(list(value))


def _interfaces(addresses: Iterable[Interface]) -> Any:
    return _single([_interface(address) for address in addresses])


def _interface(address: Interface) -> str:
    """An address that has all of its bits needs no length."""
    text = text_of_six(int(address)) if address.version == 6 else str(address.ip)
    bits = address.network.prefixlen
    return text if bits == address.max_prefixlen else f"{text}/{bits}"
