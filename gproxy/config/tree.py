"""Walking a document that nothing has been read from yet, so that anything may stand anywhere.

As in all lists of a configuration, a single value may stand for a list of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gproxy.schema.problem import KeyPath

Entry = tuple[KeyPath, Mapping[str, Any]]
"""A table, and where it stands."""


def within(tree: Mapping[str, Any], section: str, key: str) -> object:
    """What stands under a key of a table; None if either is not there."""
    table = tree.get(section)
    return table.get(key) if isinstance(table, dict) else None


def elements(value: object, at: KeyPath) -> Iterator[tuple[KeyPath, object]]:
    """The elements of a list, or a single value, which stands at `at` itself."""
    if isinstance(value, list):
        yield from (((*at, index), element) for index, element in enumerate(value))
    elif value is not None:
        yield at, value


def tables(value: object, at: KeyPath) -> Iterator[Entry]:
    """The tables of a list, or a single one."""
    for path, entry in elements(value, at):
        if isinstance(entry, dict):
            yield path, entry


def entries(tree: Mapping[str, Any], section: str) -> Iterator[Entry]:
    """The tables of a section, such as `inbounds`."""
    return tables(tree.get(section), (section,))


def rules(tree: Mapping[str, Any], section: str) -> Iterator[Entry]:
    """The rules of a section, each followed by those that are joined in it."""
    return _nested(within(tree, section, "rules"), (section, "rules"))


def _nested(value: object, at: KeyPath) -> Iterator[Entry]:
    for path, rule in tables(value, at):
        yield path, rule
        yield from _nested(rule.get("rules"), (*path, "rules"))


def text(value: object, at: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """A text, if it is one and not empty."""
    if isinstance(value, str) and value:
        yield at, value


def texts(entry: Mapping[str, Any], path: KeyPath, key: str) -> Iterator[tuple[KeyPath, str]]:
    """The texts under a key of a table, but for empty ones."""
    for where, value in elements(entry.get(key), (*path, key)):
        yield from text(value, where)


def tag_of(path: KeyPath, entry: Mapping[str, Any]) -> str:
    """How a table is called. As in sing-box, one without a tag is called by its index."""
    tag = entry.get("tag")
    return tag if isinstance(tag, str) and tag else str(path[-1] if isinstance(path[-1], int) else 0)
