"""Rule sets in few words."""

from __future__ import annotations

import os
from typing import Any

from gproxy.route.context import NO_CONTEXT, Context
from gproxy.route.headless import Headless, read_rules
from gproxy.route.sets.contents import Contents
from gproxy.route.sets.packed import Packed, in_memory, pack


def rules(*trees: dict[str, Any]) -> list[Headless]:
    """Headless rules of what a source file has."""
    return read_rules(list(trees))


def packed(*trees: dict[str, Any]) -> Packed:
    """These made ready and mapped."""
    return mapped(pack(rules(*trees)))


def mapped(data: bytes) -> Packed:
    """These bytes of a set made ready, mapped."""
    descriptor = in_memory(data)
    try:
        return Packed(descriptor)
    finally:
        os.close(descriptor)


def contents(*trees: dict[str, Any], context: Context = NO_CONTEXT) -> Contents:
    """What a set of these rules says."""
    return Contents(packed(*trees), context, "digest")
