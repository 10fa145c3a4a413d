"""The options of `dns`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from gproxy.base.defaults import UDP_IDLE
from gproxy.schema.fields import Cidr, Network
from gproxy.schema.groups import Listen, NetworkChoice
from gproxy.schema.model import doc
from gproxy.schema.tls import TlsListen

PATH = "/dns-query"


class DnsInboundOptions(Listen, NetworkChoice, TlsListen):
    """A server for questions about names, which the `dns` table answers."""

    protocol: Annotated[
        Literal["dns", "https"],
        doc(
            "`dns`: plain DNS by UDP and TCP, or with `tls` DNS over TLS. "
            "`https`: DNS over HTTPS, or without `tls` the same by plain HTTP."
        ),
    ] = "dns"
    path: Annotated[str, doc("`https`: where questions are taken; `/dns-query` if empty.")] = ""
    allow: Annotated[
        tuple[Cidr, ...],
        doc("Prefixes of the clients that get answers; others are refused. Loopback and private addresses if empty."),
    ] = ()
    rate_limit: Annotated[
        int,
        doc(
            "Answers a second by UDP to one public prefix (/24 or /56); beyond, clients are sent to TCP. 0: no limit.",
            minimum=0,
        ),
    ] = 100
    forward_client_subnet: Annotated[
        bool, doc("Let what a client says of its own network (EDNS Client Subnet) go on to the servers.")
    ] = False

    def networks(self) -> tuple[Network, ...]:
        """See NetworkChoice: streams alone where the questions come behind TLS or HTTP."""
        return super().networks() if self.protocol == "dns" and not self.tls.enabled else ("tcp",)

    def spoken(self) -> tuple[str, ...]:
        """See TlsListen."""
        return ("h2", "http/1.1") if self.protocol == "https" else ()

    def check(self) -> Iterator[tuple[str, str]]:
        """Each key has an effect."""
        yield from super().check()
        form = "DNS over HTTPS" if self.protocol == "https" else "DNS over TLS"
        if "udp" in self.network and "udp" not in self.networks():
            yield "network", f"{form} is carried by `tcp` alone"
        if self.protocol == "dns" and self.path:
            yield "path", "belongs to protocol `https`, and this is `dns`"
        if self.path and (not self.path.startswith("/") or not self.path.isascii() or "?" in self.path):
            yield "path", "expected a path such as `/dns-query`"
        if self.detour:
            yield "detour", "has no effect: questions are answered here"
        if self.udp_timeout != UDP_IDLE:
            yield "udp_timeout", "has no effect: there are no UDP sessions here"
