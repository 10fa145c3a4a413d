"""`gproxy format`, `gproxy merge` and `gproxy schema`."""

from __future__ import annotations

from pathlib import Path

import click

from gproxy.cli.readwrite import write_whole
from gproxy.cli.sources import Sources, pass_sources, source_options

_SECRET = 0o600
"""The mode of a new file: it may hold passwords, and is its owner's alone."""


@click.command("format")
@click.option("-w", "--write", is_flag=True, help="Write the result back to the files instead of printing it.")
@source_options
@pass_sources
def format_files(sources: Sources, write: bool) -> None:
    """Lay the configuration files out in the usual way. Comments stay, and so do variables."""
    from gproxy.config.layout import lay_out
    from gproxy.config.load import STDIN

    for source in sources.load().sources:
        text = lay_out(source.text, source.form)
        if not write or source.name in STDIN:
            click.echo(text, nl=False)
        elif text != source.text:
            write_whole(Path(source.name), text.encode(), _SECRET)
            click.echo(source.name, err=True)


@click.command("merge")
@click.argument("out", type=click.Path(dir_okay=False))
@source_options
@pass_sources
def merge_files(sources: Sources, out: str) -> None:
    """Merge the configuration files into the file OUT, .toml or .json; `-` prints JSON."""
    from gproxy.config.dump import dump_json, dump_toml
    from gproxy.config.root import read_root

    # Before OUT is looked at: -D may change what its name means.
    loaded = sources.load()
    read_root(loaded)
    if out == "-":
        click.echo(dump_json(loaded.raw), nl=False)
        return
    if Path(out).suffix not in {".toml", ".json"}:
        raise click.UsageError("OUT ends in .toml or .json")
    text = dump_toml(loaded.raw) if out.endswith(".toml") else dump_json(loaded.raw)
    write_whole(Path(out), text.encode(), _SECRET)
    click.echo(str(Path(out).absolute()), err=True)


@click.command()
def schema() -> None:
    """Print the JSON Schema of the whole configuration."""
    import json

    from gproxy.config.jsonschema import json_schema

    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
