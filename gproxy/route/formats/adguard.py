"""AdGuard's DNS filters, hosts files and plain lists of domains as a rule that matches what they block.

Of a filter's syntax these are understood: `@@` (an exception), `||` and `|` at the beginning, `^` and `|` at the end,
`*`, `/regular expression/`, and the modifiers `important` and `dnsrewrite` to 0.0.0.0 or ::. An exception wins over
what blocks, `important` over exceptions, and an important exception over all. Hosts lines count if their address is
0.0.0.0 or ::. If every line is a domain, the list blocks just these and nothing below them. All else is dropped, and
counted by reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from typing import Literal, NamedTuple

from gproxy.route.formats.converted import Converted, text_of
from gproxy.route.headless import BadRuleSet, Headless, HeadlessLogical, HeadlessRule

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_DOMAIN = re.compile(rf"(?=.*[A-Za-z_-]){_LABEL}(?:\.{_LABEL})*\.?")
_LONGEST = 254
_NOWHERE = ("0.0.0.0", "::")  # noqa: S104 - nothing is bound
_COSMETIC = re.compile(r"[\[\]()!#]")
_BYTE = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_SOME_ADDRESS = re.compile(rf"(?:{_BYTE}\.){{3}}{_BYTE}|{_BYTE}(?:\.{_BYTE}){{0,3}}\.")
_ADDRESS_REGEX = re.compile(rf"(?:\(https?\?:\\/\\/\)|\^)?0*{_BYTE}(?:\\?\.|$)")


class _Line(NamedTuple):
    text: str  # a domain, a pattern, or an expression
    kind: Literal["name", "pattern", "regex"]
    exception: bool = False
    important: bool = False


class _Dropped(Exception):
    """The line has no place in a rule: why."""


def read_adguard(data: bytes) -> Converted:
    """The list as one rule. Raises BadRuleSet if it blocks nothing that a rule can name."""
    converted = Converted()
    lines: list[_Line] = []
    for raw in text_of(data).splitlines():
        line = raw.strip()
        if not line or line[0] in "!#":
            continue
        try:
            lines += _read(line)
        except _Dropped as reason:
            converted.dropped[str(reason)] += 1
    converted.kept = len(lines)
    converted.rules = [_rule(lines)]
    return converted


def _read(line: str) -> Iterator[_Line]:
    if is_domain(line):
        yield _Line(line.lower().removesuffix("."), "name")
        return
    names = _hosts(line)
    if names is None:
        yield _filter(line)
        return
    for name in names:
        yield _Line(f"|{name.lower().removesuffix('.')}^", "name")


def is_domain(text: str) -> bool:
    """Whether it has the form of a domain; an address has not."""
    return len(text) <= _LONGEST and _DOMAIN.fullmatch(text) is not None


def _hosts(line: str) -> list[str] | None:
    """The names of a hosts line; None if it is none."""
    fields = line.partition("#")[0].split()
    try:
        address = ip_address(fields[0]) if len(fields) > 1 else None
    except ValueError:
        return None
    if address is None or not all(map(is_domain, fields[1:])):
        return None
    if not address.is_unspecified:
        raise _Dropped("hosts lines with another address than 0.0.0.0")
    return fields[1:]


def _filter(line: str) -> _Line:
    text, modifiers = line.removesuffix("|"), ""
    if not line.startswith("/") and not line.startswith("@@/") and "$" in line:
        text, _, modifiers = text.partition("$")
    elif found := re.fullmatch(r"((?:@@)?/.+/)\$([a-z0-9=.:,]+)", line):
        text, modifiers = found[1], found[2]
    important = _important(modifiers)
    exception = text.startswith("@@")
    text = text.removeprefix("@@").removesuffix("|")
    if len(text) > 1 and text.startswith("/") and text.endswith("/"):
        return _Line(_expression(text[1:-1]), "regex", exception, important)
    return _Line(_pattern(text), "pattern", exception, important)


def _important(modifiers: str) -> bool:
    important = False
    for modifier in modifiers.split(",") if modifiers else ():
        name, _, value = modifier.partition("=")
        if name == "important" and not value:
            important = True
        elif name != "dnsrewrite" or value not in _NOWHERE:
            raise _Dropped(f"rules with the modifier {name[:20]!r}")
    return important


def _expression(text: str) -> str:
    if not text:
        raise _Dropped("rules without a domain")
    if _ADDRESS_REGEX.match(text):
        raise _Dropped("rules for addresses")
    return text


def _pattern(text: str) -> str:
    start = "||" if text.startswith("||") else "|" if text.startswith("|") else ""
    end = "^" if text.endswith("^") else ""
    name = text[len(start) :].removesuffix("^").lower()
    if "://" in name:
        start, name = "||", name.partition("://")[2]
    _check_name(name)
    return start + name + end


def _check_name(name: str) -> None:
    if not name.strip("."):
        raise _Dropped("rules without a domain")
    if "/" in name:
        raise _Dropped("rules with a path")
    if "?" in name or "&" in name:
        raise _Dropped("rules with a query")
    if _COSMETIC.search(name):
        raise _Dropped("rules that change what pages look like")
    if "~" in name:
        raise _Dropped("rules with ~")
    like = ("r" if name[0] in ".-" else "") + name.replace("*", "x")
    if not is_domain(like):
        raise _Dropped("rules for addresses" if _SOME_ADDRESS.fullmatch(name) else "rules that name no domain")


def _rule(lines: Sequence[_Line]) -> Headless:
    if lines and all(line.kind == "name" for line in lines):
        return HeadlessRule(domain=tuple(line.text.strip("|^") for line in lines))
    rule: Headless | None = _of(lines, important=False, exception=False)
    if rule is not None and (but := _of(lines, important=False, exception=True)):
        rule = HeadlessLogical("and", (but, rule))
    if anyway := _of(lines, important=True, exception=False):
        rule = anyway if rule is None else HeadlessLogical("or", (anyway, rule))
    if rule is None:
        raise BadRuleSet("it blocks nothing that a rule can name")
    if never := _of(lines, important=True, exception=True):
        rule = HeadlessLogical("and", (never, rule))
    return rule


def _of(lines: Sequence[_Line], *, important: bool, exception: bool) -> HeadlessRule | None:
    """What the lines of one rank say, inverted if they are exceptions; None if there are none."""
    chosen = [line for line in lines if line.important == important and line.exception == exception]
    if not chosen:
        return None
    return HeadlessRule(
        adguard_domain=tuple(line.text for line in chosen if line.kind != "regex"),
        domain_regex=tuple(line.text for line in chosen if line.kind == "regex"),
        invert=exception,
    )
