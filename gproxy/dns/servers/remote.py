"""What the options of all servers on a network have in common."""

from __future__ import annotations

import dataclasses
from typing import Annotated, ClassVar

from gproxy.base.address import Address, parse_host
from gproxy.schema.fields import Port
from gproxy.schema.groups import Dial, Item, Server
from gproxy.schema.model import doc
from gproxy.schema.tls import TlsDial, TlsOutbound


class Remote(Item, Dial, Server):
    """A server on a network. The port 0 is the usual one."""

    usual_port: ClassVar[int] = 53

    server_port: Annotated[Port, doc("Server port: 53 if left out, 853 for `tls`, 443 for `https`.")] = Port(0)

    def __post_init__(self) -> None:
        if not self.server_port:
            object.__setattr__(self, "server_port", Port(self.usual_port))

    @property
    def address(self) -> Address:
        """Where it is."""
        return Address(parse_host(self.server), self.server_port)


class RemoteTls(Remote, TlsDial):
    """A server behind TLS, which is always on."""

    protocols: ClassVar[tuple[str, ...]] = ()  # what is spoken, if the options don't say

    tls: Annotated[TlsOutbound, doc("TLS towards the server: always on, whatever `enabled` says.")] = TlsOutbound()

    def __post_init__(self) -> None:
        super().__post_init__()
        tls = dataclasses.replace(self.tls, enabled=True, alpn=self.tls.alpn or self.protocols)
        object.__setattr__(self, "tls", tls)
