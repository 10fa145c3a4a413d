"""What can be configured about the mixed inbound."""

from __future__ import annotations

from typing import Annotated, ClassVar

from gproxy.schema.groups import Listen, User
from gproxy.schema.model import doc
from gproxy.schema.tls import TlsListen


class MixedInboundOptions(Listen, TlsListen):
    """A server for SOCKS4, SOCKS4a, SOCKS5 and HTTP proxy clients on one port."""

    not_yet: ClassVar[tuple[str, ...]] = ("set_system_proxy", "domain_resolver")

    users: Annotated[
        tuple[User, ...], doc("Who may use the proxy, with either protocol; anybody if empty. See `socks` for SOCKS4.")
    ] = ()
