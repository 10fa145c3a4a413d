"""`gproxy rule-set`: rule sets from one format into another, and what they match."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gproxy.base.errors import GproxyError
from gproxy.cli.readwrite import STDIN, read_whole, write_out
from gproxy.cli.sources import Sources, pass_sources, place_options, source_options

if TYPE_CHECKING:
    from gproxy.route.formats.converted import Converted
    from gproxy.route.formats.source import Source
    from gproxy.route.headless import Headless

_F = TypeVar("_F", bound=Callable[..., Any])

_LISTS = ("adguard", "mihomo", "mihomo-domain", "mihomo-ipcidr", "mihomo-classical")
_FORMATS = ("source", "binary")
_CONVERTED_VERSION = 2

_output = click.option("-o", "--output", metavar="FILE", help="Where to write; `-` or `stdout` is standard output.")
_write = click.option("-w", "--write", is_flag=True, help="Write the result back to the file instead of printing it.")


@click.group("rule-set")
def rule_set() -> None:
    """Compile, convert and try rule sets."""


def _command(name: str, *arguments: str) -> Callable[[_F], click.Command]:
    """A command with these arguments, of which `stdin` or `-` may be the first. It is told the Sources first."""

    def decorate(function: _F) -> click.Command:
        decorated: Any = place_options(pass_sources(function))
        for argument in reversed(arguments):
            decorated = click.argument(argument)(decorated)
        return rule_set.command(name)(decorated)

    return decorate


@_command("compile", "source")
@_output
def compile_source(sources: Sources, source: str, output: str | None) -> None:
    """Compile the source file SOURCE (JSON) into a binary one.

    It gets the lowest version that has all of its items. Without -o it is written beside SOURCE, as .srs.
    """
    from gproxy.route.formats.srs import fitting_version, write_srs

    sources.enter()
    with _about(source):
        read = _source(source)
        data = write_srs(read.rules, fitting_version(read.rules, read.version))
    write_out(output or _beside(source, ".json", ".srs"), data)


@_command("decompile", "binary")
@_output
def decompile(sources: Sources, binary: str, output: str | None) -> None:
    """Make a source file (JSON) of the binary file BINARY. Without -o it is written beside it, as .json."""
    from gproxy.route.formats.source import write_source
    from gproxy.route.formats.srs import read_srs

    sources.enter()
    with _about(binary):
        read = read_srs(read_whole(binary))
        text = write_source(read.rules, read.version)
    write_out(output or _beside(binary, ".srs", ".json"), text.encode())


@_command("convert", "listed")
@click.option("-t", "--type", "kind", type=click.Choice(_LISTS), required=True, help="What kind of list it is.")
@_output
def convert(sources: Sources, listed: str, kind: str, output: str | None) -> None:
    """Make a rule set of the list LISTED of another program, and say what of it has no place there.

    It is binary, unless -o names a .json file. Without -o it is written beside LISTED, as .srs.
    """
    sources.enter()
    out = output or _beside(listed, ".txt", ".srs")
    with _about(listed):
        converted = _convert(read_whole(listed), kind)
        data = _encoded(converted.rules, source=out.endswith(".json"))
    write_out(out, data)
    for reason, count in converted.dropped.most_common():
        click.echo(f"dropped {count}: {reason}", err=True)
    click.echo(f"kept {converted.kept} of {converted.kept + converted.dropped.total()} entries", err=True)


@_command("format", "source")
@_write
def format_rules(sources: Sources, source: str, write: bool) -> None:
    """Lay the source file SOURCE out in the usual way: keys in order, no comments, a list of one as that one."""
    from gproxy.route.formats.source import format_source

    sources.enter()
    with _about(source):
        text = format_source(_source(source))
    _print_or_write(source, text, write=write)


@_command("match", "path", "asked")
@click.option("-f", "--format", "form", type=click.Choice(_FORMATS), help="Format of the file; else it tells itself.")
def match(sources: Sources, path: str, asked: str, form: str | None) -> None:
    """Print the rules of the file PATH that match ASKED, an IP address or a domain.

    Nothing else is known: rules that ask for a network, ports or a process don't match.
    """
    from gproxy.route.trial import Trial, told

    sources.enter()
    with _about(path):
        for index, rule in Trial(_rules(path, form)).matching(asked):
            click.echo(f"match rules.[{index}]: {told(rule)}")


@rule_set.command("merge")
@click.argument("out")
@source_options
@pass_sources
def merge(sources: Sources, out: str) -> None:
    """Merge source files, which -c and -C name, into the file OUT. They are taken in order of their paths."""
    from gproxy.route.formats.source import merge_sources

    sources.enter()
    paths = sorted([*sources.files, *_in_directories(sources.directories)])
    if not paths:
        raise click.UsageError("there is nothing to merge: name files with -c, or directories with -C")
    found = []
    for path in paths:
        with _about(path):
            found.append(_source(path))
    write_out(out, merge_sources(found).encode())
    if out not in STDIN:
        click.echo(str(Path(out).absolute()), err=True)


@_command("upgrade", "source")
@_write
def upgrade(sources: Sources, source: str, write: bool) -> None:
    """Give the source file SOURCE the newest version, if it has version 1: that one alone is compiled differently."""
    from gproxy.route.formats.source import format_source
    from gproxy.route.headless import VERSION

    sources.enter()
    with _about(source):
        read = _source(source)
        text = format_source(read, VERSION)
    if read.version > 1:
        click.echo("already up-to-date", err=True)
        return
    _print_or_write(source, text, write=write)


@contextmanager
def _about(path: str) -> Iterator[None]:
    """Names the file in the complaint about what is in it."""
    from gproxy.route.headless import BadRuleSet

    try:
        yield
    except BadRuleSet as error:
        raise GproxyError(f"{path}: {error}") from error


def _source(path: str) -> Source:
    from gproxy.route.formats.source import read_source

    return read_source(read_whole(path))


def _rules(path: str, form: str | None) -> list[Headless]:
    from gproxy.route.formats.source import read_source
    from gproxy.route.formats.srs import is_binary, read_srs

    data = read_whole(path)
    if form == "binary" or (form is None and is_binary(data)):
        return read_srs(data).rules
    return read_source(data).rules


def _convert(data: bytes, kind: str) -> Converted:
    from gproxy.route.formats.adguard import read_adguard
    from gproxy.route.formats.mihomo import Behaviour, read_mihomo

    if kind == "adguard":
        return read_adguard(data)
    behaviours: dict[str, Behaviour] = {
        "mihomo-domain": "domain",
        "mihomo-ipcidr": "ipcidr",
        "mihomo-classical": "classical",
    }
    return read_mihomo(data, behaviours.get(kind))


def _encoded(rules: list[Headless], *, source: bool) -> bytes:
    from gproxy.route.formats.source import write_source
    from gproxy.route.formats.srs import write_srs

    return write_source(rules, _CONVERTED_VERSION).encode() if source else write_srs(rules, _CONVERTED_VERSION)


def _beside(path: str, ending: str, other: str) -> str:
    return ("stdin" if path in STDIN else path.removesuffix(ending)) + other


def _in_directories(directories: list[str]) -> Iterator[str]:
    for directory in directories:
        try:
            yield from (str(path) for path in Path(directory).iterdir() if path.suffix == ".json" and path.is_file())
        except OSError as error:
            raise GproxyError(f"{directory}: {(error.strerror or str(error)).lower()}") from error


def _print_or_write(path: str, text: str, *, write: bool) -> None:
    """Print, or write back to the file, if that changes it, and say so."""
    if not write or path in STDIN:
        click.echo(text, nl=False)
    elif read_whole(path) != text.encode():
        write_out(path, text.encode())
        click.echo(str(Path(path).absolute()), err=True)
