"""Where in a file each key and value stands.

The parsers are fast because they keep no positions. When something is wrong, and only then, the text is gone over again
by these scanners. They meet only text that was parsed already, so they may believe that it is well-formed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from gproxy.config.parse import Format
from gproxy.schema.problem import KeyPath
from gproxy.wire.jsonc import blank_comments


class Spot(NamedTuple):
    """Offsets into the text: where the key begins and ends, and where the value does. A list's element has no key."""

    key: int
    key_end: int
    start: int
    end: int


Spots = list[tuple[KeyPath, Spot]]


def locate(text: str, form: Format) -> Spots:
    """Every key path of the document with its spot, in the order of the text; a key given twice comes twice."""
    return TomlScanner(text).document() if form == "toml" else JsonScanner(blank_comments(text)).document()


class _Scanner:
    """A position that moves over a text, and the spots found so far."""

    blank: re.Pattern[str]

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.spots: Spots = []

    def take(self, pattern: re.Pattern[str]) -> str:
        """Move over what `pattern` matches here, if anything; gives it."""
        found = pattern.match(self.text, self.at)
        if found is None:
            return ""
        self.at = found.end()
        return found[0]

    def skip(self) -> str:
        """Move over blanks, separators and comments; gives the character that follows, empty at the end."""
        self.take(self.blank)
        return self.text[self.at : self.at + 1]

    def add(self, path: KeyPath, start: int, key: tuple[int, int] | None = None) -> None:
        assert self.at > start or not path, "every value has a length, or the text was never parsed"
        begin, end = key or (start, start)
        self.spots.append((path, Spot(begin, end, start, self.at)))

    def elements(self, path: KeyPath, closing: str) -> None:
        """The elements of a list whose opening bracket is behind us."""
        index = 0
        while self.skip() not in (closing, ""):
            self.value((*path, index), None)
            index += 1
        self.at += 1

    def value(self, path: KeyPath, key: tuple[int, int] | None) -> None:
        raise NotImplementedError


class JsonScanner(_Scanner):
    """Goes over JSON whose comments are blanked."""

    blank = re.compile(r"[\s,:]*")
    string = re.compile(r'"(?:[^"\\]|\\.)*+"')
    bare = re.compile(r"[^\s,:\]}]*")

    def document(self) -> Spots:
        self.skip()
        self.value((), None)
        return self.spots

    def value(self, path: KeyPath, key: tuple[int, int] | None) -> None:
        first, start = self.skip(), self.at
        place = len(self.spots)
        if first == "{":
            self.at += 1
            self.members(path)
        elif first == "[":
            self.at += 1
            self.elements(path, "]")
        else:
            self.take(self.string if first == '"' else self.bare)
        self.add(path, start, key)
        self.spots.insert(place, self.spots.pop())  # a table stands before what it holds

    def members(self, path: KeyPath) -> None:
        import json

        while self.skip() not in ("}", ""):
            start = self.at
            name = json.loads(self.take(self.string))
            self.value((*path, name), (start, self.at))
        self.at += 1


class TomlScanner(_Scanner):
    """Goes over TOML. Arrays of tables are counted, so that a header is understood as the parser does."""

    blank = re.compile(r"(?:[\s,]|#[^\n]*)*+")
    name = re.compile(r'"(?:[^"\\\n]|\\.)*+"|\'[^\'\n]*+\'|[A-Za-z0-9_-]+')
    dot = re.compile(r"[ \t]*\.[ \t]*")
    equals = re.compile(r"[ \t]*=[ \t]*")
    bare = re.compile(r"[^,\]}#\n]*")
    strings = tuple(
        (opening, re.compile(pattern, re.DOTALL))
        for opening, pattern in (
            ('"""', r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*+"{3,5}'),
            ("'''", r"'''(?:[^']|'{1,2}(?!'))*+'{3,5}"),
            ('"', r'"(?:[^"\\]|\\.)*+"'),
            ("'", r"'[^']*+'"),
        )
    )

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.counts: dict[KeyPath, int] = {}  # how many tables each array of tables has so far

    def document(self) -> Spots:
        self.add((), 0)
        table: KeyPath = ()
        while first := self.skip():
            if first == "[":
                table = self.header()
            else:
                self.pair(table)
        return self.spots

    def header(self) -> KeyPath:
        start = self.at
        is_array = self.text.startswith("[[", start)
        self.at += 2 if is_array else 1
        self.skip()
        names = list(self.names())
        path: KeyPath = ()
        for name, *_ in names[:-1]:
            path = self.latest((*path, name))
        name, begin, end = names[-1]
        path = (*path, name)
        self.skip()
        self.at += 2 if is_array else 1
        if not is_array:
            path = self.latest(path)
            self.add(path, start, (begin, end))
            return path
        index = self.counts.get(path, 0)
        self.counts[path] = index + 1
        if not index:
            self.add(path, start, (begin, end))
        self.add((*path, index), start, (begin, end))
        return (*path, index)

    def latest(self, path: KeyPath) -> KeyPath:
        """In a header, the name of an array of tables means its last table."""
        return (*path, self.counts[path] - 1) if path in self.counts else path

    def names(self) -> Iterator[tuple[str, int, int]]:
        """The parts of a dotted key, each with its offsets."""
        while True:
            start = self.at
            yield _unquoted(self.take(self.name)), start, self.at
            if not self.take(self.dot):
                return

    def pair(self, table: KeyPath) -> None:
        *parents, (name, begin, end) = list(self.names())
        path = table
        for parent, start, stop in parents:
            path = (*path, parent)
            self.spots.append((path, Spot(start, stop, start, stop)))
        self.take(self.equals)
        self.value((*path, name), (begin, end))

    def value(self, path: KeyPath, key: tuple[int, int] | None) -> None:
        start, place = self.at, len(self.spots)
        first = self.text[start : start + 1]
        if first == "[":
            self.at += 1
            self.elements(path, "]")
        elif first == "{":
            self.at += 1
            while self.skip() not in ("}", ""):
                self.pair(path)
            self.at += 1
        else:
            self.scalar()
        self.add(path, start, key)
        self.spots.insert(place, self.spots.pop())

    def scalar(self) -> None:
        for opening, pattern in self.strings:
            if self.text.startswith(opening, self.at):
                self.take(pattern)
                return
        start = self.at
        self.at = start + len(self.take(self.bare).rstrip())


def _unquoted(name: str) -> str:
    if name[:1] not in ('"', "'"):
        return name
    import tomllib

    return next(iter(tomllib.loads(name + "=0")))
