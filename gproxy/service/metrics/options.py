"""What can be configured about metrics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from typing import Annotated

from gproxy.base.address import Address
from gproxy.net.unix import PREFIX
from gproxy.schema.fields import Secret
from gproxy.schema.groups import Bind
from gproxy.schema.model import doc
from gproxy.schema.tls import TlsListen

_MOST_USERS = 10_000
_LEAST_TOKEN = 16


class MetricsOptions(Bind, TlsListen):
    """Metrics for Prometheus at `/metrics`, and whether all is well: `/health` and `/ready`. Not in sing-box."""

    token: Annotated[
        Secret, doc("What `/metrics` asks for (`Authorization: Bearer …`), of 16 characters at least; empty: nothing.")
    ] = Secret("")
    users: Annotated[
        int,
        doc("Users that are counted by name: the first ones; the rest are `other`.", minimum=0, maximum=_MOST_USERS),
    ] = 100
    upstreams: Annotated[
        dict[str, str],
        doc("What has to be reachable for `/ready` to say yes: the tag of an outbound, and an address with a port."),
    ] = field(default_factory=dict)

    def check(self) -> Iterator[tuple[str, str]]:
        """There is something to listen on, and what is named can be."""
        yield from super().check()
        if self.listen_port is None and not self.listen_ports and not self.listen.startswith(PREFIX):
            yield "listen_port", "expected the port to listen on"
        token = self.token.reveal()
        if token and len(token) < _LEAST_TOKEN:
            yield "token", f"expected {_LEAST_TOKEN} characters at least"
        if token and not (token.isascii() and token.isprintable() and " " not in token):
            yield "token", "expected ASCII characters without spaces"
        if self.tls.enabled and not self.tls.shows():
            yield "tls", "expected a certificate and its key: services show no ordered ones"
        for tag, target in self.upstreams.items():
            try:
                Address.parse(target)
            except ValueError:
                yield "upstreams", f"{tag}: expected an address with a port, such as `example.org:443`"
