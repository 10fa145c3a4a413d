"""The report on a configuration that can't be used: every problem with its place, its line and a caret.

    config.toml:41:12: inbounds[2].users[0].password: expected text, got an integer
       41 | password = ***
          |            ^^^

Secrets are never printed, not even as part of the quoted line.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from gproxy.config.load import ConfigProblems, Loaded, Source
from gproxy.config.locate import Spot, Spots, locate
from gproxy.config.merge import moved
from gproxy.config.parse import SyntaxProblem
from gproxy.config.secrecy import Secrecy, looks_secret
from gproxy.schema.problem import KeyPath, Problem, dotted

HIDDEN = "***"
_SHOWN = 100  # problems; whoever mends these will ask again
_REACH = 1000  # columns on each side of the caret that are looked at
_WIDTH = 100  # columns of a quoted line; a document may be one line of a megabyte


# How a line begins that is not the rest of a longer text: a header, a bracket, a key and its value. Base64 ends in =.
_STATEMENT = re.compile(r"""\s*(?:[\[{}\]]|["']?[\w .-]+["']?\s*[=:]\s*[^=\s])""")


class Place(NamedTuple):
    """A stretch of a source's text, by offsets."""

    source: int
    start: int
    end: int


def report(loaded: Loaded, problems: Sequence[Problem]) -> ConfigProblems:
    """All problems, in the order of the files and their lines, as the error to raise."""
    writer = _Writer(loaded, problems)
    placed = sorted(((writer.place(problem), problem) for problem in problems), key=lambda pair: pair[0])
    entries = list(dict.fromkeys(writer.entry(place, problem) for place, problem in placed[:_SHOWN]))
    if len(placed) > _SHOWN:
        entries.append(f"and {len(placed) - _SHOWN} more problems")
    return ConfigProblems("\n".join(entries), [problem for _, problem in placed])


def syntax_report(source: Source, error: SyntaxProblem) -> str:
    """The entry for a document that could not even be parsed."""
    text = _Text(source)
    row, column = text.row_and_column(error.offset)
    inside = any(source.text.count(quotes, 0, error.offset) % 2 for quotes in ('"""', "'''"))
    line, column, width = (HIDDEN, 0, len(HIDDEN)) if inside else _without_secrets(text.lines, row, column)
    return _entry(f"{source.name}:{row + 1}:{column + 1}: {error.message}", row, line, column, width)


class _Text:
    """A source with its lines counted."""

    def __init__(self, source: Source) -> None:
        self.lines = source.text.split("\n")
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line) + 1)

    def row_and_column(self, offset: int) -> tuple[int, int]:
        row = min(bisect_right(self.starts, offset) - 1, len(self.lines) - 1)
        return row, offset - self.starts[row]


class _Writer:
    """Knows every source's places, and so can say where a problem is and quote its line."""

    def __init__(self, loaded: Loaded, problems: Sequence[Problem]) -> None:
        self.sources = loaded.sources
        self.texts = [_Text(source) for source in loaded.sources]
        self.spots: list[Spots] = [
            [(moved(path, shifts), spot) for path, spot in locate(source.text, source.form)]
            for source, shifts in zip(loaded.sources, loaded.shifts, strict=True)
        ]
        self.winners: dict[KeyPath, tuple[int, Spot]] = {
            path: (index, spot) for index, spots in enumerate(self.spots) for path, spot in spots
        }
        self.secrecy = Secrecy(problems)

    def place(self, problem: Problem) -> Place:
        """Where the caret belongs: at the value, at the key, or at the nearest thing around that has a place."""
        path = problem.path
        while path not in self.winners and path:
            path = path[:-1]
        if path not in self.winners:
            return Place(0, 0, 1)
        source, spot = self.winners[path]
        if problem.at_key and path == problem.path and spot.key != spot.key_end:
            return Place(source, spot.key, spot.key_end)
        return Place(source, spot.start, spot.end)

    def entry(self, place: Place, problem: Problem) -> str:
        path = dotted(problem.path)
        if not self.sources:
            return f"{path}: {problem.message}"
        text = self.texts[place.source]
        row, column = text.row_and_column(place.start)
        width = min(place.end, text.starts[row] + len(text.lines[row])) - place.start
        head = f"{self.sources[place.source].name}:{row + 1}:{column + 1}: "
        head += f"{path}: {problem.message}" if path else problem.message
        return _entry(head, row, *self.masked(place.source, row, column, width), problem.hint)

    def masked(self, source: int, row: int, column: int, width: int) -> tuple[str, int, int]:
        """A line, or its part around the caret, with its secrets hidden; the caret's column and width moved along."""
        text = self.texts[source]
        cut = max(0, column - _REACH)
        line = text.lines[row][cut : column + _REACH]
        begin = text.starts[row] + cut
        column -= cut
        for start, end in sorted(self.secret_spans(source, begin, begin + len(line)), reverse=True):
            line = line[:start] + HIDDEN + line[end:]
            if column >= end:
                column += len(HIDDEN) - (end - start)
            elif column >= start:
                column, width = start, len(HIDDEN)
            elif column + width > start:
                width = start + len(HIDDEN) - column
        return line, column, width

    def secret_spans(self, source: int, begin: int, end: int) -> set[tuple[int, int]]:
        """The stretches between two offsets, counted from the first, that hold scalars which must not be seen."""
        spots = self.spots[source]
        return {
            (max(spot.start, begin) - begin, min(spot.end, end) - begin)
            for index, (path, spot) in enumerate(spots)
            if spot.start < end and spot.end > begin and self.is_leaf(spots, index) and self.secrecy.covers(path)
        }

    @staticmethod
    def is_leaf(spots: Spots, index: int) -> bool:
        """Whether this is a scalar: no header, no part of a dotted key, and nothing inside has a spot of its own."""
        spot = spots[index][1]
        if spot.key_end > spot.start:
            return False
        return index + 1 == len(spots) or spots[index + 1][1].start >= spot.end


def _without_secrets(lines: list[str], row: int, column: int) -> tuple[str, int, int]:
    """A line that was not parsed: from whatever looks like a secret's name on, in this statement, nothing is shown."""
    first = row
    while first and (not _STATEMENT.match(lines[first]) or lines[first - 1].rstrip().endswith((":", "=", "[", "{"))):
        first -= 1
    if any(looks_secret(line) for line in lines[first:row]):
        return HIDDEN, 0, len(HIDDEN)
    line = lines[row]
    found = looks_secret(line)
    if found is None:
        return line, column, 1
    hidden_from = (
        min((at for at in (line.find(sign, found.end()) for sign in "=:") if at >= 0), default=found.end() - 1) + 1
    )
    line = line[:hidden_from] + " " + HIDDEN
    return (line, column, 1) if column < hidden_from else (line, hidden_from + 1, len(HIDDEN))


def _entry(head: str, row: int, line: str, column: int, width: int, hint: str = "") -> str:
    """The lines of one problem: its head, the source line with a caret, the hint."""
    line, column = _windowed(line, column)
    before = line[:column].expandtabs(4)
    shown = _printable(before + line[column:].replace("\t", "    "))
    width = max(1, min(width, len(shown) - len(before)))
    rows = [_printable(head), f"{row + 1:>5} | {shown}".rstrip(), f"      | {' ' * len(before)}{'^' * width}"]
    if hint:
        rows.append(f"      = {_printable(hint)}")
    return "\n".join(rows)


def _windowed(line: str, column: int) -> tuple[str, int]:
    """A long line's part around the caret."""
    if len(line) <= _WIDTH:
        return line, column
    start = max(0, min(column - _WIDTH // 2, len(line) - _WIDTH))
    part = line[start : start + _WIDTH]
    before, after = "… " if start else "", " …" if start + _WIDTH < len(line) else ""
    return before + part + after, column - start + len(before)


def _printable(text: str) -> str:
    """Text that can't steer the terminal it is printed on."""
    return "".join(character if character.isprintable() else "�" for character in text)
