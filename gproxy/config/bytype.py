"""Tables whose `type` says which room they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gproxy.dns import SERVERS
from gproxy.protocol import INBOUNDS, OUTBOUNDS
from gproxy.schema.model import Options
from gproxy.schema.problem import KeyPath, Problem, expected, near_miss
from gproxy.schema.registry import Registry
from gproxy.service import SERVICES


class ByType:
    """Reads a table with the model of the room that its `type` names."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.name = registry.kind.title().replace(" ", "")

    def model_for(self, tree: Mapping[str, Any], at: KeyPath, problems: list[Problem]) -> type[Options] | None:
        """The options of the room, which is imported for it; None after telling what is wrong with `type`."""
        name = tree.get("type")
        if isinstance(name, str) and name in self.registry:
            return self.registry.row(name).options
        problems.append(self._complaint(name, at))
        return None

    def _complaint(self, name: object, at: KeyPath) -> Problem:
        names = ", ".join(f"`{each}`" for each in self.registry.names())
        if name is None:
            return Problem(at, "`type` is missing", f"it is one of {names}")
        if not isinstance(name, str):
            return Problem((*at, "type"), str(expected("text", name)))
        if name in self.registry.not_yet:
            return Problem((*at, "type"), f"{self.registry.kind} type `{name}` is not supported yet")
        hint = near_miss(name, self.registry.names()) or f"it is one of {names}"
        return Problem((*at, "type"), f"unknown {self.registry.kind} type", hint)

    def variants(self) -> Mapping[str, type[Options]]:
        """Every type with its model; imports every room."""
        return {name: self.registry.row(name).options for name in self.registry.names()}


INBOUND = ByType(INBOUNDS)
OUTBOUND = ByType(OUTBOUNDS)
SERVICE = ByType(SERVICES)
DNS_SERVER = ByType(SERVERS)
