"""What is wrong with a configuration, said so that its writer can mend it at once."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass

KeyPath = tuple[str | int, ...]
"""Where a value stands in the document: `("inbounds", 2, "users", 0, "password")`."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One complaint about the value at `path`; with `at_key`, about the key that names it.

    `unread`: nobody knows what the value is, so it may be a secret.
    """

    path: KeyPath
    message: str
    hint: str = ""
    at_key: bool = False
    unread: bool = False


class BadValue(ValueError):
    """A value that its type refuses: `message` says what was expected and what came, `hint` how to mend it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Substituted(str):
    """Text that came whole from one `${VARIABLE}`: numbers and booleans may be read from it."""

    __slots__ = ()


def dotted(path: KeyPath) -> str:
    """The path as people write it: `inbounds[2].users[0].password`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "true or false"),
    (int, "an integer"),
    (float, "a number"),
    (str, "text"),
    (list, "a list"),
    (dict, "a table"),
    (type(None), "null"),
    (datetime.date, "a date"),
    (datetime.time, "a time"),
)


def kind_of(value: object) -> str:
    """What sort of value this is, in the words of the report; never the value itself."""
    for kind, name in _KINDS:
        if isinstance(value, kind):
            return name
    return type(value).__name__


def expected(what: str, value: object, hint: str = "") -> BadValue:
    """The usual complaint: what was expected, and what sort of thing came instead."""
    return BadValue(f"expected {what}, got {kind_of(value)}", hint)


def nearest(word: str, choices: Iterable[str]) -> str:
    """The choice that `word` was probably meant to be, or an empty string."""
    import difflib  # only a broken configuration pays for it

    by_folded = {_folded(choice): choice for choice in choices}
    found = difflib.get_close_matches(_folded(word), by_folded, n=1, cutoff=0.7)
    return by_folded[found[0]] if found else ""


def near_miss(word: str, choices: Iterable[str]) -> str:
    """A hint that names the nearest choice, or an empty string."""
    meant = nearest(word, choices)
    return f"did you mean `{meant}`?" if meant else ""


def _folded(word: str) -> str:
    return word.lower().replace("-", "_")
