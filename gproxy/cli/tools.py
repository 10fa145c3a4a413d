"""`gproxy tools`: use the outbounds of a configuration by hand."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from gproxy.base.errors import GproxyError
from gproxy.cli.links import link
from gproxy.cli.sources import Sources, pass_sources, source_options

if TYPE_CHECKING:
    from gproxy.base.iface import Outbound
    from gproxy.base.session import Network
    from gproxy.config.root import Root

_TCP: Network = "tcp"


@click.group()
def tools() -> None:
    """Use the outbounds of a configuration by hand."""


tools.add_command(link)

_outbound_option = click.option(
    "-o", "--outbound", metavar="TAG", default="", help="Outbound to use; else the default."
)


@tools.command()
@click.argument("address")
@_outbound_option
@click.option("-n", "--network", type=click.Choice(["tcp", "udp"]), default=_TCP, help="Network; tcp by default.")
@source_options
@pass_sources
def connect(sources: Sources, address: str, outbound: str, network: Any) -> None:
    """Connect standard input and output to ADDRESS (host:port)."""
    from gproxy.base.address import Address
    from gproxy.cli.pipe import pipe_packets, pipe_stream

    try:
        target = Address.parse(address)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    with _outbound(sources.root(), outbound, network) as way:
        if network == _TCP:
            pipe_stream(way, target)
        else:
            pipe_packets(way, target)


@tools.command()
@click.argument("url")
@_outbound_option
@source_options
@pass_sources
def fetch(sources: Sources, url: str, outbound: str) -> None:
    """Get URL, http:// or https://, and print what comes."""
    from gproxy.cli.fetch import fetch_to
    from gproxy.wire.http1.location import Location

    try:
        location = Location.parse(url)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    root = sources.root()
    with _outbound(root, outbound, _TCP) as way:
        status = fetch_to(way, location, sys.stdout.buffer, root.certificate)
    if status >= 400:
        raise GproxyError(f"the server answered {status}")


@contextmanager
def _outbound(root: Root, tag: str, network: Network) -> Iterator[Outbound]:
    from gproxy.app.outbounds import build_ways
    from gproxy.app.plugins import Plugins
    from gproxy.config.references import outbound_tags
    from gproxy.layers.plugin.keeper import Keeper

    known = outbound_tags(root)
    if tag and tag not in known:
        raise click.UsageError(f"no outbound has the tag `{tag}`; there is {', '.join(known)}")
    plugins = Plugins()
    outbounds = build_ways(root, plugins).all()
    with Keeper(plugins.wanted) as keeper:
        keeper.start()
        yield outbounds.get(tag or root.route.final or outbounds.default, network)
