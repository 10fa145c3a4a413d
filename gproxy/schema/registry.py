"""A type name of the configuration → the room that implements it, imported when it is first configured."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gproxy.schema.model import Options


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that a configuration can name: the model of its options, and what builds it from them.

    `build(options, wiring)` has no side effects beyond memory: sockets are opened later, by whoever starts it.
    """

    options: type[Options]
    build: Callable[[Any, Any], Any]


class Registry:
    """The rows of one kind. `rows` maps a type name to `module:ATTRIBUTE`; `not_yet` are names that the field knows."""

    def __init__(self, kind: str, rows: Mapping[str, str], not_yet: Iterable[str] = ()) -> None:
        self.kind = kind
        self._where = dict(rows)
        self.not_yet = frozenset(not_yet) - self._where.keys()

    def names(self) -> list[str]:
        """Every type that can be configured, in catalogue order."""
        return list(self._where)

    def __contains__(self, name: str) -> bool:
        return name in self._where

    def add(self, name: str, where: str) -> None:
        """Add a third party's row. Raises ValueError if the name is taken."""
        if name in self._where:
            raise ValueError(f"{self.kind} type {name!r} is already there")
        self._where[name] = where

    def row(self, name: str) -> Row:
        """The row of `name`, importing its room. Raises KeyError."""
        module, _, attribute = self._where[name].partition(":")
        row: Row = getattr(importlib.import_module(module), attribute)
        return row
