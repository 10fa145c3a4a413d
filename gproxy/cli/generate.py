"""`gproxy generate`: values for a configuration."""

from __future__ import annotations

import click

_MAX_BYTES = 2**20


@click.group()
def generate() -> None:
    """Generate random values."""


@generate.command()
def uuid() -> None:
    """Generate a UUID, version 4."""
    from uuid import uuid4

    click.echo(uuid4())


@generate.command()
@click.argument("length", type=click.IntRange(1, _MAX_BYTES))
@click.option("--base64", "form", flag_value="base64", help="Print them in base64.")
@click.option("--hex", "form", flag_value="hex", help="Print them in hexadecimal.")
def rand(length: int, form: str | None) -> None:
    """Generate LENGTH random bytes; raw, unless told otherwise."""
    import base64
    import secrets

    raw = secrets.token_bytes(length)
    if form == "base64":
        click.echo(base64.b64encode(raw))
    elif form == "hex":
        click.echo(raw.hex())
    else:
        click.echo(raw, nl=False)
