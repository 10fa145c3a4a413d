"""`gproxy tools link`: Shadowsocks servers as links, and links as outbounds."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from gproxy.base.errors import GproxyError
from gproxy.cli.sources import Sources, pass_sources, source_options

if TYPE_CHECKING:
    from gproxy.protocol.shadowsocks.options import ShadowsocksInboundOptions, ShadowsocksOutboundOptions
    from gproxy.subscription.formats.sip002 import Link


@click.group()
def link() -> None:
    """Write and read links to Shadowsocks servers (ss://). They hold the password for everybody to read."""


@link.command("print")
@click.option(
    "--host", metavar="HOST", default="", help="Public address of this machine: write links for inbounds too."
)
@source_options
@pass_sources
def print_links(sources: Sources, host: str) -> None:
    """Write a link for each shadowsocks outbound, with its password in it.

    With --host also for each user of each shadowsocks inbound, or for its only password.
    """
    from gproxy.base.address import parse_host

    try:
        public = str(parse_host(host)) if host else ""
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    from gproxy.protocol.shadowsocks.options import ShadowsocksInboundOptions, ShadowsocksOutboundOptions
    from gproxy.subscription.formats.sip002 import write_link

    root = sources.root()
    links: list[Link] = []
    for outbound in root.outbounds:
        if isinstance(outbound, ShadowsocksOutboundOptions) and _has_link("outbound", outbound):
            links.append(_of_outbound(outbound))
    for inbound in root.inbounds:
        if public and isinstance(inbound, ShadowsocksInboundOptions) and _has_link("inbound", inbound):
            links += _of_inbound(inbound, public)
    if not links:
        raise GproxyError("nothing here that a link could lead to")
    for found in links:
        click.echo(write_link(found))


def _has_link(which: str, options: ShadowsocksInboundOptions | ShadowsocksOutboundOptions) -> bool:
    """Whether a link can say all of it; tells if not."""
    plain = not options.tls.enabled and options.transport is None
    if not plain:
        click.echo(f"gproxy: {which} `{options.tag}` has TLS or a transport, which no ss:// link can tell", err=True)
    return plain


def _of_outbound(options: ShadowsocksOutboundOptions) -> Link:
    from gproxy.subscription.formats.sip002 import Link

    return Link(
        options.method, options.password.reveal(), options.server, options.server_port, options.plugin,
        options.plugin_opts.reveal(), options.tag,
    )  # fmt: skip


def _of_inbound(options: ShadowsocksInboundOptions, host: str) -> Iterator[Link]:
    """What its clients need: those that have a name under their own, the others under the inbound's tag."""
    from gproxy.subscription.formats.sip002 import Link

    port = options.listen_port or (options.listen_ports[0].first if options.listen_ports else 0)
    if not port:
        click.echo(f"gproxy: inbound `{options.tag}` has no port that a link could lead to", err=True)
        return
    if options.managed:
        click.echo(f"gproxy: inbound `{options.tag}` has the users that its service knows", err=True)
        return
    if options.program():
        click.echo(f"gproxy: inbound `{options.tag}` wants a plugin of its clients that only you know", err=True)
        return
    plugin = ("obfs-local", _obfs_of_client(options)) if options.plugin else ("", "")
    for name, password in _credentials(options):
        yield Link(options.method, password, host, port, *plugin, tag=name)


def _credentials(options: ShadowsocksInboundOptions) -> Iterator[tuple[str, str]]:
    password = options.password.reveal()
    users = [(each.name, each.password.reveal()) for each in options.users]
    users += [(each.name, each.password.reveal()) for each in options.destinations]
    if not users:
        yield options.tag, password
    for name, own in users:
        yield name, f"{password}:{own}" if options.chosen().kind == "2022" else own


def _obfs_of_client(options: ShadowsocksInboundOptions) -> str:
    """The options of simple-obfs that a client needs to be taken for one."""
    from gproxy.wire.sip003 import encode_options

    obfs = options.obfs()
    assert obfs is not None, "the built-in plugin is the only one that is no program"
    pairs = [("obfs", obfs.mode), ("obfs-host", obfs.host), ("http-method", obfs.method)]
    return encode_options([(key, value) for key, value in pairs if value])


@link.command("read")
@click.argument("urls", metavar="URL...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of TOML.")
def read_links(urls: tuple[str, ...], as_json: bool) -> None:
    """Print the outbound of each URL as a configuration, with its password in it.

    Other users of this machine can see what stands on a command line: with `-` the URLs are read from standard input,
    one a line.
    """
    from gproxy.config.dump import dump_json, dump_toml

    outbounds = [_outbound(text) for text in _texts(urls)]
    if not outbounds:
        raise GproxyError("there is no link to read")
    tree = {"outbounds": outbounds}
    click.echo(dump_json(tree) if as_json else dump_toml(tree), nl=False)


def _texts(urls: Iterable[str]) -> Iterator[str]:
    for url in urls:
        if url == "-":
            yield from filter(None, map(str.strip, sys.stdin))
        else:
            yield url


def _outbound(text: str) -> dict[str, Any]:
    """The outbound's table. Raises GproxyError, which quotes nothing of the link."""
    from gproxy.protocol.shadowsocks.options import password_problem
    from gproxy.protocol.shadowsocks.wire.methods import METHODS
    from gproxy.subscription.formats.sip002 import BadLink, read_link

    try:
        found = read_link(text)
    except BadLink as error:
        raise GproxyError(f"not a link to a Shadowsocks server: {error}") from error
    method = METHODS.get(found.method)
    if method is None:
        raise GproxyError("not a link to a Shadowsocks server that gproxy knows: its method is another one")
    if problem := password_problem(method, found.password, single=False):
        raise GproxyError(f"the link's password is not right for {method.name}: {problem}")
    table = found.outbound()
    if method.kind == "stream":
        click.echo(f"gproxy: {method.name} is a retired cipher, which no new server should use", err=True)
        table["legacy"] = True
    return table
