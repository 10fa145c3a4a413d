"""`gproxy dns`: ask about names as a configuration says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from gproxy.base.errors import GproxyError
from gproxy.cli.sources import Sources, pass_sources, source_options

if TYPE_CHECKING:
    from gproxy.config.root import Root
    from gproxy.dns.resolver import Answered, DnsResolver
    from gproxy.wire.dns.message import Message


@click.group()
def dns() -> None:
    """Ask about names as a configuration says."""


@dns.command()
@click.argument("name")
@click.argument("type_", metavar="[TYPE]", default="A")
@click.option("--server", metavar="TAG", default="", help="DNS server to ask; else the DNS rules choose.")
@click.option("--json", "as_json", is_flag=True, help="Print everything, as JSON.")
@source_options
@pass_sources
def query(sources: Sources, name: str, type_: str, server: str, as_json: bool) -> None:
    """Ask for the records of NAME and print them; who has answered, why, and after how long goes to standard error.

    TYPE is the name or the number of a record type, A by default.
    """
    from gproxy.base.clock import now
    from gproxy.wire.dns.types import type_number

    try:
        kind = type_number(type_)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    domain = _domain(name)
    with _resolver(sources.root(), server) as resolver:
        began = now()
        answered = _ask(resolver, domain, kind, server)
        spent = (now() - began) * 1000
    message = answered.message()
    if as_json:
        click.echo(json.dumps(_tree(answered, message, spent), indent=2))
    else:
        _show(answered, message, spent)
    if message.rcode:
        raise GproxyError(f"{domain}: {_code(message)}")


def _domain(text: str) -> str:
    """As everywhere in gproxy, or a name that is none of a host, such as `_dmarc.example.org`."""
    from gproxy.base.address import parse_host

    try:
        host = parse_host(text)
    except ValueError:
        return text.lower().removesuffix(".")
    if isinstance(host, str):
        return host
    return host.reverse_pointer


def _ask(resolver: DnsResolver, domain: str, kind: int, server: str) -> Answered:
    from gproxy.base.address import UNSPECIFIED, Address
    from gproxy.base.session import LookupOptions, Session

    session = Session(1, "udp", "tools", UNSPECIFIED, Address(domain, 53))
    return resolver.ask(domain, kind, session, LookupOptions(server=server), internal=False)


@contextmanager
def _resolver(root: Root, server: str) -> Iterator[DnsResolver]:
    from gproxy.app.outbounds import build_ways
    from gproxy.app.plugins import Plugins
    from gproxy.config.root import DnsTable
    from gproxy.layers.plugin.keeper import Keeper

    plugins = Plugins()
    names = build_ways(replace(root, dns=root.dns or DnsTable()), plugins).names
    if server and server not in names.servers:
        raise click.UsageError(f"no DNS server has the tag `{server}`; there is {', '.join(names.servers)}")
    assert names.dns is not None, "there is a table that says so"
    with Keeper(plugins.wanted) as keeper:
        keeper.start()
        try:
            yield names.dns
        finally:
            names.close()


def _show(answered: Answered, message: Message, spent: float) -> None:
    from gproxy.wire.dns.zone import show_data

    for record in message.answer:
        click.echo(show_data(record))
    whose = f"server {answered.server}" if answered.server else "the configuration"
    rule = f", {answered.rule}" if answered.rule else ""
    click.echo(f";; {_code(message)} from {whose}{rule}, {spent:.1f} ms", err=True)


def _tree(answered: Answered, message: Message, spent: float) -> dict[str, object]:
    from gproxy.wire.dns.types import type_name
    from gproxy.wire.dns.zone import show_data

    sections = {"answer": message.answer, "authority": message.authority, "additional": message.additional}
    records = {
        section: [
            {"name": each.name, "type": type_name(each.type), "ttl": each.ttl, "data": show_data(each)}
            for each in found
        ]
        for section, found in sections.items()
    }
    return {
        "rcode": _code(message),
        "server": answered.server or None,
        "rule": answered.rule or None,
        "milliseconds": round(spent, 1),
        "authentic": message.authentic,
        **records,
    }


def _code(message: Message) -> str:
    from gproxy.wire.dns.types import rcode_name

    return rcode_name(message.rcode)
