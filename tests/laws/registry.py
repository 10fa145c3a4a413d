"""What is registered, and where it is found."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis.strategies import SearchStrategy

from gproxy.wire.cursor import Decode

TESTS = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Law:
    """One Decode and what is known of it.

    `examples`: complete messages with their values. `wrong`: beginnings that no further byte can mend. `limit`: how
    many bytes the longest message has; with so many there is always a verdict. `encode` and `values` are for formats
    that gproxy writes too; `canonical` means that encoding an example's value gives the example again. `closed_by_end`
    formats use up all they are given, so what follows them is part of them.
    """

    name: str
    decode: Decode[Any]
    examples: Sequence[tuple[bytes, Any]]
    limit: int
    wrong: Sequence[bytes] = ()
    encode: Callable[[Any], bytes] | None = None
    values: SearchStrategy[Any] | None = None
    canonical: bool = True
    closed_by_end: bool = False


def laws() -> list[Law]:
    """Every registered Decode, in order of name. Two of one name are a mistake."""
    found: dict[str, Law] = {}
    for path in sorted(TESTS.rglob("laws_*.py")):
        module = importlib.import_module(".".join(path.relative_to(TESTS.parent).with_suffix("").parts))
        for law in module.DECODES:
            assert law.name not in found, f"{path}: {law.name} is registered twice"
            found[law.name] = law
    return [found[name] for name in sorted(found)]
