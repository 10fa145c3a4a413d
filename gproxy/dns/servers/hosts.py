"""`hosts`: names that the configuration or a hosts file knows. It asks nobody."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from typing import Annotated

from gproxy.base.address import IP, parse_host, parse_ip
from gproxy.dns.iface import Ask, ServerWiring
from gproxy.dns.servers import answers
from gproxy.dns.servers.hostsfile import HostsFile
from gproxy.schema.fields import IPAddress
from gproxy.schema.groups import Item
from gproxy.schema.model import doc
from gproxy.schema.registry import Row
from gproxy.wire.dns import types

ETC_HOSTS = "/etc/hosts"


class HostsOptions(Item):
    """Names that are written down."""

    path: Annotated[
        tuple[str, ...], doc("Hosts files, read again when they change; `/etc/hosts` if empty. `$HOME` is replaced.")
    ] = ()
    predefined: Annotated[
        dict[str, tuple[IPAddress, ...]],
        doc("Names with their addresses, one or several; they count before the files."),
    ] = field(default_factory=dict)

    def check(self) -> Iterator[tuple[str, str]]:
        """Names are names."""
        yield from super().check()
        for name in self.predefined:
            try:
                good = isinstance(parse_host(name), str)
            except ValueError:
                good = False
            if not good:
                yield "predefined", f"{name!r}: expected a domain"


class HostsServer:
    """See Server. A name that it knows has nothing but addresses; there is no other name."""

    cacheable = False
    waits = False

    def __init__(self, options: HostsOptions, wiring: ServerWiring) -> None:
        self._predefined: dict[str, tuple[IP, ...]] = {
            str(parse_host(name)): tuple(ips) for name, ips in options.predefined.items()
        }
        self._names: dict[str, tuple[str, ...]] = {}
        for name, ips in self._predefined.items():
            for ip in ips:
                self._names[str(ip)] = (*self._names.get(str(ip), ()), name)
        self._files = [HostsFile(path) for path in options.path or (ETC_HOSTS,)]

    def exchange(self, ask: Ask, /) -> bytes:
        """See Server: A, AAAA and PTR."""
        if ask.type == types.PTR and (text := answers.address_in(ask.name)):
            try:
                names = self._names_of(parse_ip(text))
            except ValueError:
                names = ()
            return answers.with_names(ask, names) if names else answers.with_nothing(ask, types.NXDOMAIN)
        addresses = self._addresses_of(ask.name)
        if addresses is None:
            return answers.with_nothing(ask, types.NXDOMAIN)
        return answers.with_addresses(ask, addresses)

    def knows(self, name: str, /) -> bool:
        """See Server."""
        return self._addresses_of(name) is not None

    def _addresses_of(self, name: str) -> tuple[IP, ...] | None:
        if name in self._predefined:
            return self._predefined[name]
        return next((found for file in self._files if (found := file.addresses(name))), None)

    def _names_of(self, ip: IP) -> tuple[str, ...]:
        if str(ip) in self._names:
            return self._names[str(ip)]
        return next((found for file in self._files if (found := file.names(ip))), ())

    def close(self) -> None:
        """See Server: nothing is open."""


SERVER = Row(HostsOptions, HostsServer)
