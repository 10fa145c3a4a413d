"""Text to a tree of tables, lists and scalars: TOML, or JSON with comments and trailing commas as sing-box takes it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Literal, Never

from gproxy.wire.jsonc import plain_json

Format = Literal["toml", "json"]
Tree = dict[str, Any]

MAX_DEPTH = 64  # a rule inside a rule takes two levels, and nobody needs more than a few of those


class SyntaxProblem(ValueError):
    """Text that is not TOML or not JSON: what is wrong and at which offset of the text."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset


def parse(text: str, form: Format) -> Tree:
    """The document as a tree. Raises SyntaxProblem."""
    try:
        tree = _parse_toml(text) if form == "toml" else _parse_json(text)
    except RecursionError:
        raise SyntaxProblem(_TOO_DEEP, 0) from None
    _refuse_depth(tree)
    return tree


_TOO_DEEP = f"nested more than {MAX_DEPTH} levels deep"


def _refuse_depth(tree: Tree) -> None:
    """Everything that walks over a tree later calls itself, and trusts in this."""
    level: list[Any] = [tree]
    for _ in range(MAX_DEPTH):
        level = [inner for each in level for inner in _inside(each) if isinstance(inner, dict | list)]
        if not level:
            return
    raise SyntaxProblem(_TOO_DEEP, 0)


def _inside(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def _parse_toml(text: str) -> Tree:
    import tomllib

    try:
        return tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, and numbers that Python refuses for their length
        message = str(error)
        found = _AT.search(message)
        offset = len(text)
        if found is not None and found[1]:
            # tomllib reads \r\n as \n, and so must whoever counts its lines.
            lines = text.split("\n")
            offset = sum(len(line) + 1 for line in lines[: int(found[1]) - 1]) + int(found[2]) - 1
        raise SyntaxProblem(_plain(message[: found.start()] if found else message), offset) from None


def _parse_json(text: str) -> Tree:
    import json

    bare = plain_json(text)
    try:
        tree = json.loads(bare, parse_constant=_refuse_constant, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise SyntaxProblem(_plain(error.msg), error.pos) from None
    except _KeyTwiceError:
        raise SyntaxProblem("the key is given twice in its table", _second_key(bare)) from None
    except ValueError as error:
        raise SyntaxProblem(_plain(str(error)), 0) from None
    if not isinstance(tree, dict):
        raise SyntaxProblem("expected a table: a configuration begins with `{`", 0)
    return tree


class _KeyTwiceError(Exception):
    """A JSON object with two members of one name: whichever is taken, the other is ignored."""


def _object(pairs: list[tuple[str, Any]]) -> Tree:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise _KeyTwiceError
    return table


def _second_key(text: str) -> int:
    """The offset of the first key that repeats another."""
    from gproxy.config.locate import locate

    seen = set()
    for path, spot in locate(text, "json"):
        if path in seen:
            return spot.key
        seen.add(path)
    return 0


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is no JSON")


_NO_CLOSING_QUOTE = "text without a closing quote on its line"
_CLEARER = {r"Illegal character '\n'": _NO_CLOSING_QUOTE, "Invalid control character at": _NO_CLOSING_QUOTE}


def _plain(message: str) -> str:
    message = _CLEARER.get(message, message)
    return message[:1].lower() + message[1:]
