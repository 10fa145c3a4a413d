"""What must not be printed: which values of a document are secrets, or may be."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from gproxy.schema.fields import Secret
from gproxy.schema.model import Options, fields_of, holds
from gproxy.schema.problem import KeyPath, Problem

# Keys of any table, ours or somebody's headers, whose values are not for other people's eyes.
_WORDS = re.compile(
    r"pass|pwd|secret|token|psk|private|credential|cookie|authori[sz]ation|uuid|userkey|auth_str|(?<![a-z0-9])key(?![a-z0-9])",
    re.IGNORECASE,
)

_UNREAD_SIBLINGS = ("type", "tag")


class Secrecy:
    """Tells which key paths are secret: by their field's type, by their name, or because nobody could read them."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self._names = frozenset(_secret_names(Options))
        # Under a key that was not understood, and in a table whose type was not, anything may stand.
        self._unread = {problem.path for problem in problems if problem.unread}
        self._unread_tables = {problem.path[:-1] for problem in problems if problem.path[-1:] == ("type",)}

    def covers(self, path: KeyPath) -> bool:
        """Whether the value at `path`, in the merged document, must not be printed."""
        if any(isinstance(part, str) and self.is_secret_name(part) for part in path):
            return True
        return any(
            path[:length] in self._unread or self._in_unread_table(path, length) for length in range(len(path) + 1)
        )

    def is_secret_name(self, key: str) -> bool:
        """Whether a key by this name holds a secret."""
        return key in self._names or _WORDS.search(key) is not None

    def _in_unread_table(self, path: KeyPath, length: int) -> bool:
        return path[:length] in self._unread_tables and length < len(path) and path[length] not in _UNREAD_SIBLINGS


def _secret_names(model: type[Options]) -> Iterator[str]:
    for each in model.__subclasses__():
        yield from (name for name, field in fields_of(each).items() if holds(field.kind, Secret))
        yield from _secret_names(each)


def looks_secret(text: str) -> re.Match[str] | None:
    """The first word of a piece of text that looks like the name of a secret."""
    return _WORDS.search(text)
