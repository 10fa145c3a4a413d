"""Lists of domains by name, for the item `geosite`: sing-box's `geosite.db` or v2ray's `geosite.dat`."""

from __future__ import annotations

from collections.abc import Sequence

from gproxy.base.errors import ConfigError
from gproxy.route.domains import domain_set, folded
from gproxy.route.formats.databases import Sites, read_sites
from gproxy.route.geo import read_whole
from gproxy.route.groups import Parts
from gproxy.route.headless import BadRuleSet
from gproxy.route.items import DomainItem, DomainKeywordItem, DomainRegexItem
from gproxy.route.regex import RegexError, compile_regex

__all__ = ["Sites", "open_sites", "site_parts"]


def open_sites(path: str) -> Sites:
    """The lists of a file. Raises ConfigError."""
    try:
        return read_sites(read_whole(path))
    except BadRuleSet as error:
        raise ConfigError(f"{path}: {error}") from None


def site_parts(sites: Sites, codes: Sequence[str]) -> Parts:
    """What these lists say, of which any may match. Raises ConfigError for one that is not there.

    Expressions that RE2 does not know are left out: the lists are other people's, and were written for other programs.
    """
    domains: list[str] = []
    suffixes: list[str] = []
    keywords: list[str] = []
    expressions: list[str] = []
    for code in codes:
        try:
            rule = sites.rule(code)
        except KeyError:
            raise ConfigError(f"`geosite`: there is no list `{code}`") from None
        except BadRuleSet as error:
            raise ConfigError(f"`geosite`: {error}") from None
        domains += folded(rule.domain)
        suffixes += folded(rule.domain_suffix)
        keywords += folded(rule.domain_keyword)
        expressions += filter(_is_known, rule.domain_regex)
    if domains or suffixes:
        yield "geosite", DomainItem(domain_set(domains, suffixes)).match
    if keywords:
        yield "geosite", DomainKeywordItem(keywords).match
    if expressions:
        yield "geosite", DomainRegexItem(expressions).match


def _is_known(expression: str) -> bool:
    try:
        compile_regex(expression)
    except RegexError:
        return False
    return True
