"""`gproxy geoip` and `gproxy geosite`: what databases of countries and of sites say, and rule sets made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from gproxy.base.errors import GproxyError
from gproxy.cli.readwrite import read_whole, write_out
from gproxy.cli.sources import Sources, pass_sources, place_options

if TYPE_CHECKING:
    from gproxy.route.formats.databases import Countries, Sites
    from gproxy.route.headless import HeadlessRule

_VERSION = 2


def _with_file(default: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options of every command here."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        named = click.option(
            "-f", "--file", metavar="FILE", default=default, help=f"The database; {default} if not said."
        )
        return named(place_options(pass_sources(command)))

    return decorate


_output = click.option(
    "-o", "--output", metavar="FILE", help="Where to write, a source file or .srs; `-` or `stdout` is standard output."
)


@click.group()
def geoip() -> None:
    """Look into databases of countries: MaxMind's format, sing-box's geoip.db, v2ray's geoip.dat."""


@geoip.command("list")
@_with_file("geoip.db")
def list_countries(sources: Sources, file: str) -> None:
    """Print the codes of all countries."""
    with _reading(sources, file):
        for code in _countries(file).codes():
            click.echo(code)


@geoip.command("lookup")
@click.argument("address")
@_with_file("geoip.db")
def lookup_country(sources: Sources, file: str, address: str) -> None:
    """Print the country of ADDRESS: its code, or `private`, or `unknown`."""
    from gproxy.base.address import parse_ip
    from gproxy.route.cidrs import NOT_PUBLIC, CidrSet

    try:
        ip = parse_ip(address)
    except ValueError as error:
        raise click.UsageError(f"not an IP address: {address}") from error
    with _reading(sources, file):
        code = "private" if ip in CidrSet(NOT_PUBLIC) else _countries(file).lookup(ip)
        click.echo(code or "unknown")


@geoip.command("export")
@click.argument("country")
@_output
@_with_file("geoip.db")
def export_country(sources: Sources, file: str, country: str, output: str | None) -> None:
    """Write the prefixes of COUNTRY as a rule set; without -o to geoip-COUNTRY.json."""
    with _reading(sources, file):
        data = _exported(_countries(file), country, output)
    write_out(output or f"geoip-{country}.json", data)


@click.group()
def geosite() -> None:
    """Look into databases of sites: sing-box's geosite.db, v2ray's geosite.dat."""


@geosite.command("list")
@_with_file("geosite.db")
def list_sites(sources: Sources, file: str) -> None:
    """Print the categories, each with how many items it has, the smallest first."""
    with _reading(sources, file):
        for code, count in sorted(_sites(file).codes().items(), key=lambda item: (item[1], item[0])):
            click.echo(f"{code} ({count})")


@geosite.command("lookup")
@click.argument("names", metavar="[CATEGORY] DOMAIN", nargs=-1, required=True)
@_with_file("geosite.db")
def lookup_site(sources: Sources, file: str, names: tuple[str, ...]) -> None:
    """Print which categories have DOMAIN, and by which item; or whether CATEGORY has it."""
    from gproxy.route.trial import found_by

    if len(names) > 2:
        raise click.UsageError("one category and one domain at most")
    domain = names[-1]
    with _reading(sources, file):
        sites = _sites(file)
        for code in names[:-1] or sorted(sites.codes()):
            item = found_by(_rule(sites, code), domain)
            if item:
                click.echo(f"Match code ({code}) {item}")


@geosite.command("export")
@click.argument("category")
@_output
@_with_file("geosite.db")
def export_site(sources: Sources, file: str, category: str, output: str | None) -> None:
    """Write CATEGORY as a rule set; without -o to geosite-CATEGORY.json.

    In a geosite.dat, `CATEGORY@ATTRIBUTE` is the part of it that has this attribute.
    """
    with _reading(sources, file):
        data = _exported(_sites(file), category, output)
    write_out(output or f"geosite-{category}.json", data)


@contextmanager
def _reading(sources: Sources, file: str) -> Iterator[None]:
    """Names the database in the complaint about what is in it."""
    from gproxy.route.headless import BadRuleSet

    sources.enter()
    try:
        yield
    except BadRuleSet as error:
        raise GproxyError(f"{file}: {error}") from error


def _countries(file: str) -> Countries:
    from gproxy.route.formats.databases import read_countries

    return read_countries(read_whole(file))


def _sites(file: str) -> Sites:
    from gproxy.route.formats.databases import read_sites

    return read_sites(read_whole(file))


def _rule(database: Countries | Sites, code: str) -> HeadlessRule:
    try:
        return database.rule(code)
    except KeyError:
        raise GproxyError(f"there is no {code!r} in the database") from None


def _exported(database: Countries | Sites, code: str, output: str | None) -> bytes:
    from gproxy.route.formats.source import write_source
    from gproxy.route.formats.srs import write_srs

    rules = [_rule(database, code)]
    if output is not None and output.endswith(".srs"):
        return write_srs(rules, _VERSION)
    return write_source(rules, _VERSION).encode()
