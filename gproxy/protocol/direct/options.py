"""The options of `direct`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from gproxy.net.unix import PREFIX
from gproxy.schema.fields import Port, is_host
from gproxy.schema.groups import Dial, Item, Listen, NetworkChoice
from gproxy.schema.model import doc


class DirectInboundOptions(Listen, NetworkChoice):
    """A port that leads to one target. What is not overridden is the address that the client connected to."""

    override_address: Annotated[str, doc("Where streams and datagrams go: an IP address or a domain.")] = ""
    override_port: Annotated[Port | None, doc("To which port.")] = None

    def check(self) -> Iterator[tuple[str, str]]:
        """The target is somewhere, and whole: a unix socket has no address to take the missing half from."""
        yield from super().check()
        if self.override_address and not is_host(self.override_address):
            yield "override_address", "expected an IP address or a domain"
        if self.listen.startswith(PREFIX) and not (self.override_address and self.override_port):
            yield "listen", "a unix socket needs `override_address` and `override_port` here"


class DirectOutboundOptions(Item, Dial):
    """The way out through the system's own sockets."""

    proxy_protocol: Annotated[
        Literal[0, 1, 2],
        doc("Tell the target who the client is, by a PROXY protocol header of this version; 0: don't."),
    ] = 0
