"""What can be configured about rule sets: entries of `route.rule_set`, of one of three types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar, Final, Literal, get_args
from urllib.parse import urlsplit

from gproxy.route.headless import BadRuleSet, Headless, read_rules
from gproxy.schema.fields import Duration, Parsed
from gproxy.schema.model import Options, doc
from gproxy.schema.problem import BadValue, KeyPath, Problem, near_miss
from gproxy.wire.http1.location import Location

Format = Literal["source", "binary", "mihomo", "adguard", "geosite", "geoip"]
"""How the rules of a file are written."""

DATABASES: Final[tuple[Format, ...]] = ("geosite", "geoip")
"""Files of many lists, of which some are the rule set."""

_BY_SUFFIX: Final[Mapping[str, Format]] = {
    ".json": "source", ".srs": "binary", ".yaml": "mihomo", ".yml": "mihomo", ".list": "mihomo",
}  # fmt: skip

PLACEHOLDER: Final = "{tag}"

DAILY: Final = Duration(24 * 3600.0)
_SOONEST: Final = 60.0  # seconds


def _parse_rules(value: object) -> tuple[Headless, ...]:
    try:
        rules = read_rules(value, ())
    except BadRuleSet as error:
        raise BadValue(str(error)) from None
    if not rules:
        raise BadValue("expected at least one rule")
    return tuple(rules)


Rules = Annotated[
    tuple[Headless, ...], Parsed(_parse_rules, {"type": "array", "minItems": 1, "items": {"type": "object"}})
]


class RuleSetOptions(Options):
    """A rule set of any type: `type` says which."""

    tag: Annotated[
        tuple[str, ...], doc("What rules call it. Several tags are as many rule sets, whose names differ by `{tag}`.")
    ]

    @classmethod
    def model_for(cls, tree: Mapping[str, Any], at: KeyPath, problems: list[Problem]) -> type[Options] | None:
        """The model of the set's `type`."""
        kinds = RuleSetOptions.variants()
        name = tree.get("type") or "inline"
        if isinstance(name, str) and name in kinds:
            return kinds[name]
        hint = near_miss(name, kinds) if isinstance(name, str) else ""
        problems.append(Problem((*at, "type"), "expected `inline`, `local` or `remote`", hint))
        return None

    @classmethod
    def variants(cls) -> Mapping[str, type[Options]]:
        """All types; one without a `type` is `inline`."""
        return {"inline": InlineRuleSet, "local": LocalRuleSet, "remote": RemoteRuleSet}

    def check(self) -> Iterator[tuple[str, str]]:
        """It is called something."""
        yield from super().check()
        if not self.tag or not all(self.tag):
            yield "tag", "expected what rules call it"


class InlineRuleSet(RuleSetOptions):
    """Rules that stand in the configuration."""

    type: Annotated[Literal["", "inline"], doc("`inline`: the rules stand here. May be left out.")] = ""
    rules: Annotated[Rules, doc("The rules: match items, or logical rules, without an action.")]

    def check(self) -> Iterator[tuple[str, str]]:
        """There is one of it."""
        yield from super().check()
        if len(self.tag) > 1:
            yield "tag", "expected one: rules that stand here are the same for all"


class FiledRuleSet(RuleSetOptions):
    """Rules that stand elsewhere."""

    format: Annotated[
        Format | None,
        doc(
            "`source` (JSON) and `binary` (.srs) are sing-box's formats; `mihomo`: a list of domains, prefixes or "
            "classical rules, as text or YAML; `adguard`: a filter; `geosite` and `geoip`: lists of a database of "
            "sing-box's or v2ray's. If it is left out, the name tells: .json, .srs, .yaml, .yml, .list."
        ),
    ] = None
    code: Annotated[tuple[str, ...], doc("`geosite`, `geoip`: the codes of the lists.")] = ()

    def told_by(self, name: str) -> Format | None:
        """The format, which the name tells if nothing else does."""
        return self.format or _BY_SUFFIX.get(PurePosixPath(name).suffix.lower())

    def _unclear(self, key: str, name: str) -> Iterator[tuple[str, str]]:
        if self.told_by(name) is None:
            formats = ", ".join(f"`{word}`" for word in get_args(Format))
            yield "format", f"expected one of {formats}: the name in `{key}` doesn't tell"
        elif (self.told_by(name) in DATABASES) != bool(self.code):
            yield "code", "expected the codes of lists, of a database and nothing else"
        if len(self.tag) > 1 and PLACEHOLDER not in name:
            yield key, f"expected `{PLACEHOLDER}` in it, since there are several tags"


class LocalRuleSet(FiledRuleSet):
    """Rules in a file."""

    type: Annotated[Literal["local"], doc("`local`: the rules are in a file, which is read anew when it changes.")]
    path: Annotated[str, doc("The file.")]

    def check(self) -> Iterator[tuple[str, str]]:
        """There is a file, whose format is known."""
        yield from super().check()
        if not self.path:
            yield "path", "expected the name of a file"
        else:
            yield from self._unclear("path", self.path)


class RemoteRuleSet(FiledRuleSet):
    """Rules that are downloaded."""

    not_yet: ClassVar[tuple[str, ...]] = ("http_client",)

    type: Annotated[Literal["remote"], doc("`remote`: the rules are downloaded, now and again, and kept in a file.")]
    url: Annotated[str, doc("Where they are downloaded from, by http or https.")]
    update_interval: Annotated[Duration, doc("How long after one look for newer ones is the next.")] = DAILY
    download_detour: Annotated[str, doc("Tag of the outbound that leads there; the first outbound if empty.")] = ""
    initial_path: Annotated[str, doc("File of the same format to begin with, until something was downloaded.")] = ""

    def check(self) -> Iterator[tuple[str, str]]:
        """It can be asked for, and its format is known."""
        yield from super().check()
        try:
            Location.parse(self.url)
        except ValueError as error:
            yield "url", str(error)
        else:
            yield from self._unclear("url", urlsplit(self.url).path)
        if self.initial_path and len(self.tag) > 1 and PLACEHOLDER not in self.initial_path:
            yield "initial_path", f"expected `{PLACEHOLDER}` in it, since there are several tags"
        if 0 < self.update_interval < _SOONEST:
            yield "update_interval", "expected a minute at least"


def named(text: str, tag: str) -> str:
    """A path or URL for the set of this tag."""
    return text.replace(PLACEHOLDER, tag)
