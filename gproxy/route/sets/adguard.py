"""AdGuard's rules for domains, as rule sets have them: `||example.org^`, `|exact.example^`, `ads.*.test`, `track`.

Each is a pattern that a name must have somewhere. `||` before it: where a label begins; `|`: where the name does. `^`
behind it: where the name ends. `*` is any text. Nearly all rules of a list say the same as a domain or a suffix.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_PLAIN = re.compile(r"[^*|^]+")


@dataclass(slots=True)
class Domains:
    """What a list of rules says in other words. Expressions are RE2's."""

    domain: list[str] = field(default_factory=list)
    suffix: list[str] = field(default_factory=list)
    regex: list[str] = field(default_factory=list)


def translate(rules: Iterable[str]) -> Domains:
    """The same, as domains and suffixes as far as that goes, and as expressions for the rest."""
    found = Domains()
    for rule in rules:
        rule = rule.lower()
        if rule.endswith("^"):
            if rule.startswith("||") and _PLAIN.fullmatch(rule[2:-1]):
                found.suffix.append(rule[2:-1])
                continue
            if rule.startswith("|") and _PLAIN.fullmatch(rule[1:-1]):
                found.domain.append(rule[1:-1])
                continue
        found.regex.append(_expression(rule))
    return found


def _expression(rule: str) -> str:
    """The rule as an expression."""
    begin = end = ""
    if rule.startswith("||"):
        begin, rule = r"(?:^|\.)", rule[2:]
    elif rule.startswith("|"):
        begin, rule = "^", rule[1:]
    if rule.endswith("^"):
        end, rule = "$", rule[:-1]
    else:
        rule = rule.removesuffix(".")
    return begin + ".*".join(re.escape(text) for text in rule.split("*")) + end
