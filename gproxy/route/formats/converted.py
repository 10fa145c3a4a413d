"""What becomes of lists that other programs have: the rules, and what of it has no place in them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from gproxy.route.headless import BadRuleSet, Headless

MAX_LIST = 64 * 2**20
"""Bytes of a list."""


@dataclass(slots=True)
class Converted:
    """The rules of a list. `kept` of its entries are in them; the others are counted by the reason why they are not."""

    rules: list[Headless] = field(default_factory=list)
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


def text_of(data: bytes) -> str:
    """The text of a list, without a byte order mark. Raises BadRuleSet."""
    if len(data) > MAX_LIST:
        raise BadRuleSet(f"more than {MAX_LIST >> 20} MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadRuleSet("not a text: it is not UTF-8") from None
