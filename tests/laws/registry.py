"""What is registered, and where it is found."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis.strategies import SearchStrategy

from gproxy.base.iface import Opener, Sealer
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


@dataclass(frozen=True)
class Framing:
    """A Sealer, and the Opener that reads what it makes.

    `make`: a fresh pair; any opener opens what any sealer makes, so keys and the like are the same each time. `before`:
    what the opener gives ahead of the first payload. `limit`: the most bytes that an incomplete record has; with more,
    there is something to use up, or a verdict. `proves`: every changed bit is noticed; without that, any bytes mean
    something. `refuses`: of those that prove nothing, one that knows wrong bytes all the same.
    """

    name: str
    make: Callable[[], tuple[Sealer, Opener]]
    limit: int
    before: bytes = b""
    proves: bool = True
    refuses: bool = False


def laws() -> list[Law]:
    """Every registered Decode, in order of name. Two of one name are a mistake."""
    return _registered("DECODES")


def framings() -> list[Framing]:
    """Every registered pair of Sealer and Opener, likewise."""
    return _registered("FRAMINGS")


def _registered(which: str) -> list[Any]:
    found: dict[str, Any] = {}
    for path in sorted(TESTS.rglob("laws_*.py")):
        module = importlib.import_module(".".join(path.relative_to(TESTS.parent).with_suffix("").parts))
        assert hasattr(module, "DECODES") or hasattr(module, "FRAMINGS"), f"{path} registers nothing"
        for one in getattr(module, which, ()):
            assert one.name not in found, f"{path}: {one.name} is registered twice"
            found[one.name] = one
    return [found[name] for name in sorted(found)]
