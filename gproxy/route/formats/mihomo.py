"""mihomo's rule providers, as text or as YAML's `payload`: lists of domains, of addresses, or of its own rules.

    domain      `x.y` this one, `.x.y` all below it, `+.x.y` both; `*` in place of a label is any one label
    ipcidr      prefixes and addresses
    classical   `DOMAIN-SUFFIX,x.y`, `DST-PORT,80/1000-2000`, `AND,((NETWORK,udp),(DST-PORT,443))` and the like

What headless rules can't say (GEOIP, UID, IN-PORT, ...) is dropped and counted. `no-resolve` needs no place: here no
rule resolves. The binary form (.mrs) is compressed in a way that Python does not know, and refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from gproxy.route.formats.converted import Converted, text_of
from gproxy.route.headless import MAX_NESTING, BadRuleSet, Headless, HeadlessLogical, HeadlessRule
from gproxy.route.prefixes import read_prefix, read_prefixes

Behaviour = Literal["domain", "ipcidr", "classical"]

_ZSTD = b"\x28\xb5\x2f\xfd"
_HEAD = re.compile(r"(?:payload|rules)\s*:\s*(?:#.*)?")
_LABEL = r"[^.]+"
_PORTS = re.compile(r"\s*([0-9]{1,5})\s*(?:-\s*([0-9]{1,5})\s*)?")
_MAX_PORT = 65535


def read_mihomo(data: bytes, behaviour: Behaviour | None = None) -> Converted:
    """The list as rules; what kind of list it is shows in its entries if it is not said. Raises BadRuleSet."""
    if data[: len(_ZSTD)] == _ZSTD:
        raise BadRuleSet("a .mrs file, which only mihomo reads: it can write it as text (`mihomo convert-ruleset`)")
    entries = list(_entries(text_of(data)))
    converted = _READERS[behaviour or _behaviour(entries)](entries)
    if not converted.kept:
        raise BadRuleSet("it has nothing that a rule can name")
    return converted


def _entries(text: str) -> Iterator[str]:
    lines = [line.strip() for line in text.splitlines()]
    if any(_HEAD.fullmatch(line) for line in lines):
        yield from filter(None, map(_item, lines))
        return
    for line in lines:
        if line and not line.startswith(("#", "//")):
            yield line


def _item(line: str) -> str:
    """What an element of a YAML list says; empty if the line is none."""
    if not line.startswith("- "):
        return ""
    value = line[2:].strip()
    if value.startswith("'"):
        return value[1:].replace("''", "\0").partition("'")[0].replace("\0", "'").strip()
    if value.startswith('"'):
        return _double_quoted(value)
    return "" if value.startswith("#") else value.partition(" #")[0].strip()


def _double_quoted(value: str) -> str:
    try:
        text, _ = json.JSONDecoder().raw_decode(value)
    except ValueError:
        raise BadRuleSet("a text in YAML that does not end, or with an escape that is not JSON's") from None
    return str(text).strip()


def _behaviour(entries: list[str]) -> Behaviour:
    if any("," in entry for entry in entries):
        return "classical"
    return "ipcidr" if entries and all(map(_is_prefix, entries)) else "domain"


def _is_prefix(text: str) -> bool:
    try:
        read_prefix(text)
    except ValueError:
        return False
    return True


def _read_domains(entries: list[str]) -> Converted:
    converted = Converted()
    domains, suffixes, expressions = [], [], []
    for entry in entries:
        name = entry.lower()
        labels = name.split(".")
        if "/" in name or any(not label for label in labels[1:]) or not labels[-1]:
            converted.dropped["entries that are no domain"] += 1
            continue
        converted.kept += 1
        if "*" in labels or (labels[0] == "+" and len(labels) == 1):
            expressions.append(_label_regex(labels))
        elif labels[0] == "+":
            suffixes.append(".".join(labels[1:]))
        elif labels[0] == "":
            suffixes.append(name)
        else:
            domains.append(name)
    converted.rules = [
        HeadlessRule(domain=tuple(domains), domain_suffix=tuple(suffixes), domain_regex=tuple(expressions))
    ]
    return converted


def _label_regex(labels: list[str]) -> str:
    """For names with a wildcard, which is one label."""
    start = {"+": r"(?:.+\.)?", "": r".+\."}.get(labels[0])
    rest = labels if start is None else labels[1:]
    return "^" + (start or "") + r"\.".join(_LABEL if label == "*" else re.escape(label) for label in rest) + "$"


def _read_prefixes(entries: list[str]) -> Converted:
    converted = Converted()
    good = [entry for entry in entries if _is_prefix(entry)]
    converted.kept = len(good)
    if len(good) < len(entries):
        converted.dropped["entries that are no IP prefix"] = len(entries) - len(good)
    converted.rules = [HeadlessRule(ip_cidr=read_prefixes(good))]
    return converted


class _NoPlace(Exception):
    """The rule can't be told: why."""


# Items of which any may match, so that many rules become one.
_TARGET = ("domain", "domain_suffix", "domain_keyword", "domain_regex", "ip_cidr")


def _read_rules(entries: list[str]) -> Converted:
    converted = Converted()
    together: dict[str, list[str]] = {}
    for entry in entries:
        try:
            item = _simple(entry)
            if item is None:
                converted.rules.append(_logical(entry, 1))
            else:
                together.setdefault(item[0], []).extend(item[1])
            converted.kept += 1
        except _NoPlace as reason:
            converted.dropped[str(reason)] += 1
    converted.rules = [*_joined(together), *converted.rules]
    return converted


def _joined(together: Mapping[str, list[str]]) -> Iterator[HeadlessRule]:
    """One rule for all that targets are compared with, and one for each other item."""
    target = {item: values for item, values in together.items() if item in _TARGET}
    if target:
        yield HeadlessRule(**{item: _values(item, values) for item, values in target.items()})
    for item, values in together.items():
        if item in ("port", "source_port"):
            yield _port_rule(item, values)
        elif item not in _TARGET:
            yield HeadlessRule(**{item: _values(item, values)})


def _port_rule(item: str, ports: list[str]) -> HeadlessRule:
    values: dict[str, Any] = {
        item: tuple(int(port) for port in ports if ":" not in port),
        f"{item}_range": tuple(port for port in ports if ":" in port),
    }
    return HeadlessRule(**values)


def _values(item: str, values: list[str]) -> Any:
    return read_prefixes(values) if item in ("ip_cidr", "source_ip_cidr") else tuple(dict.fromkeys(values))


def _simple(entry: str) -> tuple[str, list[str]] | None:
    """The item that a rule is, with its values; None for a logical rule. Raises _NoPlace."""
    kind, _, rest = entry.partition(",")
    kind = kind.strip().upper()
    if kind in ("AND", "OR", "NOT"):
        return None
    if kind not in _KINDS:
        raise _NoPlace(f"{kind[:30]} rules" if rest else "entries without a type")
    item, read = _KINDS[kind]
    if kind.endswith("-REGEX"):  # expressions may have commas
        return item, [read(rest.strip())]
    value, *parameters = (part.strip() for part in rest.split(","))
    if item == "ip_cidr" and "src" in parameters:
        item = "source_ip_cidr"
    if item in ("port", "source_port"):
        return item, _ports(value)
    return item, [read(value)]


def _logical(entry: str, depth: int) -> Headless:
    kind, _, rest = entry.partition(",")
    if depth > MAX_NESTING:
        raise _NoPlace("rules nested too deep")
    inner = [_rule(part, depth + 1) for part in _parts(rest.strip())]
    kind = kind.strip().upper()
    if kind == "NOT" and len(inner) == 1:
        return HeadlessLogical("and", (inner[0],), invert=True)
    if kind == "NOT" or not inner:
        raise _NoPlace(f"{kind} rules that are malformed")
    return HeadlessLogical("and" if kind == "AND" else "or", tuple(inner))


def _rule(entry: str, depth: int) -> Headless:
    item = _simple(entry)
    return _logical(entry, depth) if item is None else next(_joined({item[0]: item[1]}))


def _parts(text: str) -> list[str]:
    """What stands between the parentheses within the outermost ones. Raises _NoPlace."""
    if not (text.startswith("(") and text.endswith(")")):
        raise _NoPlace("logical rules that are malformed")
    parts, depth, start = [], 0, 0
    for at, character in enumerate(text):
        if character == "(":
            depth += 1
            start = at + 1 if depth == 2 else start
        elif character == ")":
            depth -= 1
            if depth == 1:
                parts.append(text[start:at])
            if depth < 0 or (depth == 0 and at != len(text) - 1):
                raise _NoPlace("logical rules that are malformed")
    if depth:
        raise _NoPlace("logical rules that are malformed")
    return parts


def _ports(text: str) -> list[str]:
    """Ports and ranges of them, as headless rules write both. Raises _NoPlace."""
    found = []
    for part in text.split("/"):
        match = _PORTS.fullmatch(part)
        low = int(match[1]) if match else _MAX_PORT + 1
        high = int(match[2]) if match and match[2] else low
        if not low <= high <= _MAX_PORT:
            raise _NoPlace("rules with malformed ports")
        found.append(str(low) if low == high else f"{low}:{high}")
    return found


def _text(value: str) -> str:
    if not value:
        raise _NoPlace("rules without a value")
    return value


def _lower(value: str) -> str:
    return _text(value).lower()


def _prefix(value: str) -> str:
    if not _is_prefix(value):
        raise _NoPlace("entries that are no IP prefix")
    return value


def _network(value: str) -> str:
    if value.lower() not in ("tcp", "udp"):
        raise _NoPlace("rules for other networks")
    return value.lower()


def _wild(value: str, anything: str = ".*", one: str = ".") -> str:
    signs = {"*": anything, "?": one}
    return "".join(signs.get(character) or re.escape(character) for character in _text(value))


def _domain_wildcard(value: str) -> str:
    return f"^{_wild(value.lower())}$"


def _path_wildcard(value: str) -> str:
    return f"^{_wild(value)}$"


def _name_wildcard(value: str) -> str:
    return f"(?i)(?:^|/){_wild(value, '[^/]*', '[^/]')}$"


_KINDS: Mapping[str, tuple[str, Callable[[str], str]]] = {
    "DOMAIN": ("domain", _lower),
    "DOMAIN-SUFFIX": ("domain_suffix", _lower),
    "DOMAIN-KEYWORD": ("domain_keyword", _lower),
    "DOMAIN-REGEX": ("domain_regex", _text),
    "DOMAIN-WILDCARD": ("domain_regex", _domain_wildcard),
    "IP-CIDR": ("ip_cidr", _prefix),
    "IP-CIDR6": ("ip_cidr", _prefix),
    "SRC-IP-CIDR": ("source_ip_cidr", _prefix),
    "SRC-PORT": ("source_port", _text),
    "DST-PORT": ("port", _text),
    "NETWORK": ("network", _network),
    "PROCESS-NAME": ("process_name", _text),
    "PROCESS-NAME-WILDCARD": ("process_path_regex", _name_wildcard),
    "PROCESS-PATH": ("process_path", _text),
    "PROCESS-PATH-REGEX": ("process_path_regex", _text),
    "PROCESS-PATH-WILDCARD": ("process_path_regex", _path_wildcard),
}

_READERS: Mapping[Behaviour, Callable[[list[str]], Converted]] = {
    "domain": _read_domains,
    "ipcidr": _read_prefixes,
    "classical": _read_rules,
}
