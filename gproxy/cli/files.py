"""`gproxy format`, `gproxy merge` and `gproxy schema`."""

from __future__ import annotations

from pathlib import Path

import click

from gproxy.cli.sources import Sources, pass_sources, source_options


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
            _replace(Path(source.name), text)
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
    _replace(Path(out), dump_toml(loaded.raw) if out.endswith(".toml") else dump_json(loaded.raw))
    click.echo(str(Path(out).absolute()), err=True)


@click.command()
def schema() -> None:
    """Print the JSON Schema of the whole configuration."""
    import json

    from gproxy.config.jsonschema import json_schema

    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))


def _replace(path: Path, text: str) -> None:
    """Write the file whole or not at all. It keeps its mode; a new one may hold secrets and is its owner's alone."""
    from gproxy.base.errors import GproxyError

    fresh = path.with_name(path.name + ".new")
    try:
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
        fresh.touch(mode=0o600)
        fresh.write_text(text, encoding="utf-8")
        fresh.chmod(mode)
        fresh.replace(path.resolve())
    except OSError as error:
        raise GproxyError(f"{path}: {(error.strerror or str(error)).lower()}") from error
