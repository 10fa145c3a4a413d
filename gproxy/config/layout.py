"""The usual layout of a configuration file: `gproxy format`. Only white space changes; comments stay where they are."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gproxy.config.locate import TomlScanner
from gproxy.config.parse import Format, parse

_STRING = r'"(?:[^"\\\n]|\\.)*+"'
_JSON = re.compile(rf"(?P<string>{_STRING})|(?P<line>(?://|#)[^\n]*)|(?P<block>/\*.*?\*/)|(?P<space>\s+)|"
                   r"(?P<sign>[{}\[\],:])|(?P<bare>[^\s{}\[\],:/#]+)", re.DOTALL)  # fmt: skip
_INDENT = "  "


def lay_out(text: str, form: Format) -> str:
    """The same document in the usual layout. Doing it twice changes nothing more."""
    result = _toml(text) if form == "toml" else _json(text)
    assert parse(result, form) == parse(text, form), "the layout must not change the document"
    return result


class _JsonLines:
    """Lines in the making."""

    def __init__(self) -> None:
        self.lines: list[str] = [""]
        self.depth = 0
        self.fresh = True  # the last line is still empty

    def put(self, text: str) -> None:
        self.lines[-1] += (_INDENT * self.depth if self.fresh else "") + text
        self.fresh = False

    def next_line(self) -> None:
        if not self.fresh:
            self.lines.append("")
            self.fresh = True

    def empty_line(self) -> None:
        """One, and none at the beginning of a table or list."""
        self.next_line()
        if len(self.lines) > 1 and self.lines[-2] and self.lines[-2][-1] not in "{[":
            self.lines.insert(-1, "")


def _json(text: str) -> str:
    out = _JsonLines()
    for kind, piece, newlines, closes in _json_tokens(text):
        if kind in {"line", "block"}:
            _json_comment(out, kind, piece, newlines)
        elif piece in {"}", "]"}:
            out.depth -= 1
            if not out.lines[-1].endswith(("{", "[")):
                out.next_line()
            out.put(piece)
        elif piece == ",":
            if not closes:  # a trailing comma is dropped
                out.put(",")
                out.next_line()
        else:
            if newlines > 1:
                out.empty_line()
            _json_value(out, piece)
    return "\n".join(out.lines).strip("\n") + "\n"


def _json_value(out: _JsonLines, piece: str) -> None:
    if piece == ":":
        out.put(": ")
        return
    if out.lines[-1].endswith(("{", "[")):
        out.next_line()
    elif out.lines[-1].endswith("*/"):
        out.put(" ")
    out.put(piece)
    if piece in {"{", "["}:
        out.depth += 1


def _json_comment(out: _JsonLines, kind: str, piece: str, newlines: int) -> None:
    """A comment that followed something on its line still does."""
    if newlines > 1:
        out.empty_line()
    elif newlines:
        out.next_line()
    elif out.fresh and len(out.lines) > 1:
        out.lines.pop()
        out.fresh = False
    out.put(piece if out.fresh or out.lines[-1].endswith(" ") else f" {piece}")
    if kind == "line":
        out.next_line()


def _json_tokens(text: str) -> Iterator[tuple[str, str, int, bool]]:
    """Tokens, each with the line ends before it, and whether what follows closes something."""
    found = [(str(match.lastgroup), match[0]) for match in _JSON.finditer(text)]
    newlines = 0
    for index, (kind, piece) in enumerate(found):
        if kind == "space":
            newlines = piece.count("\n")
            continue
        following = (later for later_kind, later in found[index + 1 :] if later_kind not in {"space", "line", "block"})
        yield kind, piece, newlines, next(following, "") in tuple("}]") if piece == "," else False
        newlines = 0


_Item = tuple[str, str]
"""A line or statement: `blank`, `comment`, `header` or `pair`, and its text."""


def _toml(text: str) -> str:
    """Statements keep their values as they are written; headers, equals signs and empty lines are put in order."""
    items = list(_toml_items(text))
    for index in range(len(items) - 1, 0, -1):
        if items[index][0] == "header":
            first = index  # comments right above a header belong to it
            while first and items[first - 1][0] == "comment":
                first -= 1
            if first and items[first - 1][0] != "blank":
                items.insert(first, ("blank", ""))
    lines = [
        line
        for index, (kind, line) in enumerate(items)
        if kind != "blank" or (index and items[index - 1][0] != "blank" and index + 1 < len(items))
    ]
    return "\n".join(lines) + "\n"


_BLANK_LINE = re.compile(r"[ \t]*\n")
_COMMENT = re.compile(r"[ \t]*#[^\n]*")
_INDENTATION = re.compile(r"[ \t]*")
_REST = re.compile(r"\n|$")


def _toml_items(text: str) -> Iterator[_Item]:
    scanner = TomlScanner(text)
    while scanner.at < len(text):
        if scanner.take(_BLANK_LINE):
            yield "blank", ""
            continue
        if comment := scanner.take(_COMMENT):
            yield "comment", comment.strip()
        else:
            scanner.take(_INDENTATION)
            if scanner.at == len(text):
                return
            kind, statement = _toml_statement(scanner)
            gap, _, remark = scanner.take(_COMMENT).partition("#")
            yield kind, f"{statement}{gap or ' '}#{remark}".rstrip() if remark or gap else statement
        scanner.take(_INDENTATION)
        scanner.take(_REST)


def _toml_statement(scanner: TomlScanner) -> _Item:
    text, start = scanner.text, scanner.at
    if text[start] == "[":
        scanner.header()
        raw = text[start : scanner.at]
        name = ".".join(scanner.name.findall(raw))
        return "header", f"[[{name}]]" if raw.startswith("[[") else f"[{name}]"
    key = ".".join(text[begin:end] for _, begin, end in scanner.names())
    scanner.take(scanner.equals)
    begin = scanner.at
    scanner.value((), None)
    return "pair", f"{key} = {text[begin : scanner.at]}"
