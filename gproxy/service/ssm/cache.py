"""The file between two lives: users with their keys and their traffic. The format is sing-box's.

{"endpoints": {PATH: {"global_uplink": 0, …, "user_uplink": {NAME: 0}, …, "users": {NAME: KEY}}}}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gproxy.observe.books import NOTHING, Traffic

# The fields of Traffic, in their order.
_FIELDS: Final = ("uplink", "downlink", "uplink_packets", "downlink_packets", "tcp_sessions", "udp_sessions")


@dataclass(frozen=True, slots=True)
class Saved:
    """What is known of one path: users with their keys, their traffic, and that of all, past users included."""

    users: Mapping[str, str] = field(default_factory=dict)
    traffic: Mapping[str, Traffic] = field(default_factory=dict)
    total: Traffic = NOTHING

    def past(self) -> Traffic:
        """What those have moved who are no users any more."""
        known = [self.total, *(Traffic(*(-each for each in one)) for one in self.traffic.values())]
        return Traffic(*(max(0, sum(each)) for each in zip(*known, strict=True)))


def read(path: Path) -> dict[str, Saved]:
    """What was saved, by path; nothing if there is no file. Raises OSError, and ValueError for what is no such file."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return {}
    try:
        endpoints = _table(json.loads(text) if text else {}, "endpoints", dict)
        return {path: _saved(each) for path, each in endpoints.items()}
    except RecursionError as error:
        raise ValueError("too deep") from error


def _saved(values: Mapping[str, Any]) -> Saved:
    users = _table(values, "users", str)
    columns = [_table(values, f"user_{name}", int) for name in _FIELDS]
    traffic = {user: Traffic(*(column.get(user, 0) for column in columns)) for user in users}
    total = Traffic(*(_number(values.get(f"global_{name}", 0)) for name in _FIELDS))
    return Saved(users, traffic, total)


def _table(values: Any, key: str, kind: type) -> dict[str, Any]:
    table = values.get(key, {}) if isinstance(values, dict) else None
    if not isinstance(table, dict) or not all(isinstance(each, kind) for each in table.values()):
        raise ValueError(f"`{key}` is not a table")
    return {name: _number(each) if kind is int else each for name, each in table.items()}


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("a number is none")
    return value


def encode(endpoints: Mapping[str, Saved]) -> bytes:
    """The contents of the file."""
    document = {"endpoints": {path: _values(endpoints[path]) for path in sorted(endpoints)}}
    return json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"


def _values(saved: Saved) -> dict[str, Any]:
    values: dict[str, Any] = {f"global_{name}": number for name, number in zip(_FIELDS, saved.total, strict=True)}
    for index, name in enumerate(_FIELDS):
        moved = {user: traffic[index] for user, traffic in saved.traffic.items()}
        values[f"user_{name}"] = {user: moved[user] for user in sorted(moved) if moved[user]}
    values["users"] = dict(saved.users)
    return values


def put_aside(path: Path) -> Path:
    """Keep a file that can't be read where nothing overwrites it. Raises OSError."""
    aside = path.with_name(path.name + ".damaged")
    path.replace(aside)
    return aside
