"""Certificates that gproxy orders: which ones, for which inbounds, and where authorities look for proofs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING

from gproxy.app import layers
from gproxy.app.listening import ports
from gproxy.app.names import Names
from gproxy.config.root import Root
from gproxy.net import sockopt
from gproxy.net.bind import Endpoint
from gproxy.schema.acme import Acme
from gproxy.schema.groups import Dial
from gproxy.schema.tls import TlsListen

if TYPE_CHECKING:
    from gproxy.layers.tls.supply import Supply
    from gproxy.service.acme.manager import Manager

_HTTP, _HTTPS = 80, 443


@dataclass(slots=True)
class _Use:
    """A provider, and the ports of the inbounds that show its certificate."""

    name: str
    options: Acme
    ports: set[int] = field(default_factory=set)

    def in_handshakes(self) -> bool:
        """Whether an authority that looks at port 443 finds one of these inbounds."""
        return (self.options.alternative_tls_port or _HTTPS) in self.ports


@dataclass(slots=True)
class Certificates:
    """All that was built for certificates."""

    supplies: dict[str, Supply] = field(default_factory=dict)  # by provider
    shown: dict[int, str] = field(default_factory=dict)  # the provider of an inbound, by the inbound's index
    manager: Manager | None = None
    endpoints: list[Endpoint] = field(default_factory=list)  # where authorities ask over HTTP

    def take(self, provider: str, certificate: str, challenges: Mapping[str, str]) -> None:
        """Show this from now on (see Supply)."""
        if provider in self.supplies:
            self.supplies[provider].take(certificate, challenges)

    def of(self, index: int) -> Supply | None:
        """Who has the certificate of the inbound of this index, if its options have none."""
        return self.supplies.get(self.shown.get(index, ""))


def build_certificates(root: Root, names: Names) -> Certificates:
    """Everything for the certificates of a configuration, those that were kept among them. Raises ConfigError.

    `names` finds the authorities.
    """
    certificates = Certificates()
    uses = _uses(root, certificates.shown)
    if not uses:
        return certificates
    from gproxy.layers.tls.supply import Supply
    from gproxy.layers.tls.trust import Trust
    from gproxy.service.acme.manager import Manager, Wanted

    wanted = [Wanted(use.name, use.options, use.in_handshakes()) for use in uses]
    for each in wanted:
        each.check()
        certificates.supplies[each.provider] = Supply(each.kept())
    dialer = layers.system_dialer(layers.with_defaults(Dial(), root.route), names.lookup_for(Dial()))
    certificates.manager = Manager(wanted, dialer, Trust.of(root.certificate))
    by_http = [use.options for use in uses if asks_over_http(use.options)]
    certificates.endpoints = [
        _endpoint(port) for port in dict.fromkeys(int(each.alternative_http_port) or _HTTP for each in by_http)
    ]
    return certificates


def asks_over_http(options: Acme) -> bool:
    """Whether an authority may ask over HTTP."""
    return options.dns01_challenge is None and not options.disable_http_challenge


def _uses(root: Root, shown: dict[int, str]) -> list[_Use]:
    """Every provider once; inbounds whose own tables say the same share one. Who shows which goes to `shown`."""
    uses = {
        each.tag or str(index): _Use(f"provider {each.tag or index}", each)
        for index, each in enumerate(root.certificate_providers)
        if isinstance(each, Acme)
    }
    own: list[_Use] = []
    for index, options in enumerate(root.inbounds):
        provider = options.tls.provider() if isinstance(options, TlsListen) and options.tls.enabled else None
        if provider is None:
            continue
        use = uses[provider] if isinstance(provider, str) else _own(provider, options.tag or str(index), own)
        use.ports.update(ports(options))
        shown[index] = use.name
    return [*uses.values(), *own]


def _own(options: Acme, tag: str, known: list[_Use]) -> _Use:
    for each in known:
        if each.options == options:
            return each
    known.append(_Use(f"inbound {tag}", options))
    return known[-1]


def _endpoint(port: int) -> Endpoint:
    """On all addresses: an authority chooses by itself which one it asks."""
    any_address = IPv6Address(0) if Path("/proc/net/if_inet6").exists() else IPv4Address(0)
    return Endpoint("stream", any_address, port, keep_alive=sockopt.keep_alive(disabled=False, idle=0.0, interval=0.0))
