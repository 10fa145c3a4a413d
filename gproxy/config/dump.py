"""A document as text: what `gproxy merge` writes. Secrets are in it, so it goes to files and never to a log."""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_WIDTH = 100  # a list that is longer gets a line for each element


def dump_json(tree: Mapping[str, Any]) -> str:
    """The document as JSON. TOML's dates become text."""
    return json.dumps(tree, indent=2, ensure_ascii=False, default=str) + "\n"


def dump_toml(tree: Mapping[str, Any]) -> str:
    """The document as TOML. A JSON null, which TOML has not, is left out: it means the same."""
    return "\n".join(_table((), tree)).strip("\n") + "\n"


def _table(path: tuple[str, ...], table: Mapping[str, Any]) -> Iterator[str]:
    """The lines of a table: what fits on a line first, as TOML demands, then its tables and lists of tables."""
    below = {key: value for key, value in table.items() if _has_header(value)}
    for key, value in table.items():
        if key not in below and value is not None:
            yield f"{_key(key)} = {_value(value)}"
    for key, value in below.items():
        where = (*path, key)
        name = ".".join(_key(part) for part in where)
        if isinstance(value, dict):
            yield from ("", f"[{name}]")
            yield from _table(where, value)
            continue
        for element in value:
            yield from ("", f"[[{name}]]")
            yield from (f"{_key(part)} = {_value(inner)}" for part, inner in element.items() if inner is not None)


def _has_header(value: object) -> bool:
    """Whether a value gets headers of its own: tables, and lists of nothing but tables."""
    if isinstance(value, list):
        return bool(value) and all(isinstance(element, dict) for element in value)
    return isinstance(value, dict)


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _text(key)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if isinstance(value, dict):
        inner = ", ".join(f"{_key(key)} = {_value(each)}" for key, each in value.items() if each is not None)
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list):
        return _list([_value(each) for each in value if each is not None])
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return repr(value)


def _list(elements: list[str]) -> str:
    line = f"[{', '.join(elements)}]"
    if len(line) <= _WIDTH:
        return line
    return "\n".join(["[", *(f"  {element}," for element in elements), "]"])


def _text(text: str) -> str:
    """A basic string. JSON's escapes are all TOML's too; what JSON leaves bare and TOML does not is DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
