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


@generate.command("ss-key")
@click.argument("method")
def ss_key(method: str) -> None:
    """Generate a key for the Shadowsocks METHOD, in base64. Only the methods of the 2022 edition have such keys."""
    import base64
    import secrets

    from gproxy.protocol.shadowsocks.wire.methods import METHODS

    known = METHODS.get(method)
    keyed = [each.name for each in METHODS.values() if each.kind == "2022"]
    if known is None:
        raise click.UsageError(f"there is no method `{method}`; those with keys are {', '.join(keyed)}")
    if known.kind != "2022":
        has = "no password" if known.kind == "none" else "a password of your choice, and no key"
        raise click.UsageError(f"{method} has {has}; those with keys are {', '.join(keyed)}")
    click.echo(base64.b64encode(secrets.token_bytes(known.key_size)))
