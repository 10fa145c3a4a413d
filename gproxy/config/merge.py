"""Several documents become one, and each value remembers which document it came from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gproxy.config.parse import Tree
from gproxy.schema.problem import KeyPath

Shifts = dict[KeyPath, tuple[int, bool]]
"""For a list that was appended to: at which index the addition begins, and whether it came as a bare value."""


def merge(trees: Iterable[Tree]) -> tuple[Tree, list[Shifts]]:
    """Merge documents in order: tables merge, lists append, of two scalars the later one wins.

    A bare value beside a list counts as a list of one, as everywhere in a configuration. Gives, for each document,
    where its lists went, which `moved` understands.
    """
    merged: Tree = {}
    shifts: list[Shifts] = []
    for tree in trees:
        shifts.append({})
        merged = _merge_table(merged, tree, (), shifts)
    return merged, shifts


def _merge_table(old: Tree, new: Tree, at: KeyPath, shifts: list[Shifts]) -> Tree:
    result = dict(old)
    for key, value in new.items():
        result[key] = _merge_value(old[key], value, (*at, key), shifts) if key in old else value
    return result


def _merge_value(old: Any, new: Any, at: KeyPath, shifts: list[Shifts]) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return _merge_table(old, new, at, shifts)
    if not isinstance(old, list) and not isinstance(new, list):
        return new
    if not isinstance(old, list):
        for earlier in shifts[:-1]:
            earlier.setdefault(at, (0, True))
        old = [old]
    shifts[-1][at] = (len(old), not isinstance(new, list))
    return [*old, *(new if isinstance(new, list) else [new])]


def moved(path: KeyPath, shifts: Shifts) -> KeyPath:
    """Where a document's path is in the merged one."""
    for length in range(1, len(path) + 1):
        shift = shifts.get(path[:length])
        if shift is None:
            continue
        offset, was_bare = shift
        if was_bare:
            return (*path[:length], offset, *path[length:])
        if length < len(path):
            index = path[length]
            assert isinstance(index, int), "what was appended to is a list"
            return (*path[:length], index + offset, *path[length + 1 :])
    return path
