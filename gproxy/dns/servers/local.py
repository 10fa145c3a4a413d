"""`local`: as this machine itself looks names up.

Addresses are asked of the system's resolver (getaddrinfo), which knows more than DNS: hosts files, other services of
nsswitch.conf. It can't be asked for anything else, nor be led through an outbound; then the servers of resolv.conf are
asked.
"""

from __future__ import annotations

import socket as consts
from _socket import gaierror, getaddrinfo
from typing import Annotated, ClassVar, Final

from gproxy.base.address import parse_ip
from gproxy.base.errors import DialError
from gproxy.dns.iface import Ask, ServerWiring
from gproxy.dns.servers import answers
from gproxy.dns.servers.asked import fail
from gproxy.dns.servers.hosts import ETC_HOSTS
from gproxy.dns.servers.hostsfile import HostsFile
from gproxy.dns.servers.mdns import Multicast, is_local
from gproxy.dns.servers.resolvconf import ResolvConf
from gproxy.dns.servers.several import Several
from gproxy.rt.offload import offload_lookup
from gproxy.schema.groups import Dial, Item
from gproxy.schema.model import doc, fields_of
from gproxy.schema.registry import Row
from gproxy.wire.dns import types

TTL: Final = 30
"""Seconds that an address of the system's resolver is good for: it tells no TTL, and keeps one itself."""

_FAMILIES: Final = {types.A: consts.AF_INET, types.AAAA: consts.AF_INET6}
_NOTHING: Final = {
    consts.EAI_NONAME: types.NXDOMAIN,
    getattr(consts, "EAI_NODATA", -5): types.NOERROR,
    getattr(consts, "EAI_ADDRFAMILY", -9): types.NOERROR,
}


class LocalOptions(Item, Dial):
    """This machine's own way. With `prefer_go`, or any of the dial fields, the servers of resolv.conf are asked."""

    not_yet: ClassVar[tuple[str, ...]] = ("neighbor_domain",)

    prefer_go: Annotated[
        bool, doc("Ask the servers of `/etc/resolv.conf` also for addresses, and not the system's resolver.")
    ] = False

    def by_the_system(self) -> bool:
        """Whether the system's resolver may be asked: what is said about dialling would mean nothing to it."""
        said = any(getattr(self, name) != field.default for name, field in fields_of(Dial).items())
        return not self.prefer_go and not said


class LocalServer:
    """See Server."""

    cacheable = True
    waits = True

    def __init__(self, options: LocalOptions, wiring: ServerWiring) -> None:
        self._who = wiring.tag
        self._by_the_system = options.by_the_system()
        self._hosts = HostsFile(ETC_HOSTS)
        self._resolv = ResolvConf()
        self._several = Several(wiring.via, wiring.lookup, wiring.tag)
        self._multicast = Multicast((), wiring.tag)

    def exchange(self, ask: Ask, /) -> bytes:
        """See Server."""
        known = self._known(ask)
        if known:
            return known
        if is_local(ask.name) and (answer := self._by_multicast(ask)):
            return answer
        if self._by_the_system and ask.type in _FAMILIES and ask.name and "\\" not in ask.name:
            return self._ask_the_system(ask)
        return self._several.exchange(ask, self._resolv.read())

    def knows(self, name: str, /) -> bool:
        """See Server."""
        return bool(self._hosts.addresses(name)) or is_local(name)

    def searches(self) -> bool:
        """See Searching."""
        return bool(self._resolv.read().search)

    def _known(self, ask: Ask) -> bytes:
        """The answer, if it is written down."""
        if ask.type in _FAMILIES and (addresses := self._hosts.addresses(ask.name)):
            return answers.with_addresses(ask, addresses)
        if ask.type == types.PTR and (text := answers.address_in(ask.name)):
            names = self._hosts.names(parse_ip(text)) if is_ip(text) else ()
            return answers.with_names(ask, names) if names else b""
        return b""

    def _by_multicast(self, ask: Ask) -> bytes:
        """The answer of a neighbour, nothing if there is none: some networks have a server for `local`, too."""
        try:
            return self._multicast.exchange(ask)
        except DialError:
            return b""

    def _ask_the_system(self, ask: Ask) -> bytes:
        try:
            rows = offload_lookup(getaddrinfo, ask.name.encode(), None, _FAMILIES[ask.type], consts.SOCK_STREAM)
        except gaierror as error:
            if error.errno in _NOTHING:
                return answers.with_nothing(ask, _NOTHING[error.errno])
            fail(self._who, f"{ask.name}: {error.strerror or error}")
        except OSError as error:
            fail(self._who, f"{ask.name}: {error.strerror or error}")
        return answers.with_addresses(ask, dict.fromkeys(parse_ip(str(row[4][0])) for row in rows), TTL)

    def close(self) -> None:
        """See Server."""
        self._several.close()
        self._multicast.close()


def is_ip(text: str) -> bool:
    """Whether it is an address."""
    try:
        parse_ip(text)
    except ValueError:
        return False
    return True


SERVER = Row(LocalOptions, LocalServer)
