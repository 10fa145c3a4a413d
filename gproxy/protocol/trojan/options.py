"""What can be configured about Trojan."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import field
from typing import Annotated, Literal

from gproxy.schema.fields import Secret
from gproxy.schema.groups import Dial, Item, Listen, NetworkChoice, Proxy, Server
from gproxy.schema.model import Options, doc
from gproxy.schema.multiplex import MultiplexDial, MultiplexListen
from gproxy.schema.tls import Tls, TlsDial, TlsListen
from gproxy.schema.transport import TransportDial, TransportListen


class TrojanUser(Options):
    """A user of an inbound."""

    name: Annotated[str, doc("User name, for rules and accounts.")] = ""
    password: Annotated[Secret, doc("Password.")]


class Fallback(Server):
    """A server that those clients are handed on to who speak no Trojan."""

    proxy_protocol: Annotated[
        Literal[0, 1, 2], doc("Send a PROXY protocol header of this version first; none if 0.")
    ] = 0


class TrojanInboundOptions(Listen, TransportListen, TlsListen, MultiplexListen):
    """A server for Trojan clients, and for everybody else a door to a web site."""

    users: Annotated[tuple[TrojanUser, ...], doc("Who may use the proxy.")]
    fallback: Annotated[
        Fallback | None,
        doc(
            "Where clients go that speak no Trojan or give a wrong password, with all that they said. No rule is asked."
        ),
    ] = None
    fallback_for_alpn: Annotated[
        dict[str, Fallback],
        doc(
            "The same by the application protocol that TLS has agreed on. Clients with another one go nowhere, then; "
            "those with none go to `fallback`."
        ),
    ] = field(default_factory=dict)

    def check(self) -> Iterator[tuple[str, str]]:
        """There are users, told apart by their passwords, and protocols that TLS can agree on."""
        yield from super().check()
        if not self.users:
            yield "users", "expected at least one"
        seen: set[str] = set()
        for user in self.users:
            password = user.password.reveal()
            if not password:
                yield "users", f"password of {user.name!r}: expected one"
            elif password in seen:
                yield "users", f"password of {user.name!r}: another one has the same"
            seen.add(password)
        if self.fallback_for_alpn and not self.tls.enabled:
            yield "fallback_for_alpn", "without `tls` no protocol is agreed on"
            return
        for name in self.fallback_for_alpn:
            if name not in self.tls.alpn:
                yield "fallback_for_alpn", f"{name}: not in `tls.alpn`, so it is never agreed on"


class TrojanOutboundOptions(Item, Proxy, TransportDial, TlsDial, MultiplexDial, Dial, NetworkChoice):
    """A client of a Trojan server."""

    password: Annotated[Secret, doc("Password.")]

    def check(self) -> Iterator[tuple[str, str]]:
        """There is a password."""
        yield from super().check()
        if not self.password:
            yield "password", "expected a password"


def warn_of_plain(tls: Tls, log: logging.Logger) -> None:
    """Say at the start what Trojan without TLS is worth."""
    if not tls.enabled:
        log.warning("no `tls`: Trojan encrypts nothing itself, so whoever is on the way can read, and use the password")
