"""What can be configured about SOCKS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from gproxy.schema.fields import Secret
from gproxy.schema.groups import Dial, Item, Listen, OverTcp, Proxy, User
from gproxy.schema.model import doc
from gproxy.schema.tls import TlsListen

# RFC 1929: each has one octet for its length.
_MAX_CREDENTIAL = 255


class SocksInboundOptions(Listen, TlsListen):
    """A server for SOCKS4, SOCKS4a and SOCKS5 clients."""

    not_yet: ClassVar[tuple[str, ...]] = ("domain_resolver",)

    users: Annotated[
        tuple[User, ...],
        doc(
            "Who may use the proxy; anybody if empty. SOCKS4 has no password: its user id must be the name of a user "
            "whose password is empty."
        ),
    ] = ()

    def check(self) -> Iterator[tuple[str, str]]:
        """Names and passwords fit into their messages."""
        yield from super().check()
        for user in self.users:
            for what, text in (("name", user.username), ("password", user.password.reveal())):
                if len(text.encode()) > _MAX_CREDENTIAL:
                    yield "users", f"a {what} of more than {_MAX_CREDENTIAL} bytes does not fit into SOCKS5"


class SocksOutboundOptions(Item, Proxy, Dial, OverTcp):
    """A client of a SOCKS server."""

    version: Annotated[
        Literal["4", "4a", "5"],
        doc("Protocol version. `4` carries IPv4 only and no UDP, `4a` UDP only with `udp_over_tcp`."),
    ] = "5"
    username: Annotated[str, doc("User name; for versions `4` and `4a` the user id.")] = ""
    password: Annotated[Secret, doc("Password, for version `5`.")] = Secret("")

    def check(self) -> Iterator[tuple[str, str]]:
        """The credentials are whole and fit into their messages, and the version carries the networks."""
        yield from super().check()
        if self.version == "5" and self.password and not self.username:
            yield "password", "expected a `username` beside it"
        for key, text in (("username", self.username), ("password", self.password.reveal())):
            if len(text.encode()) > _MAX_CREDENTIAL:
                yield key, f"more than {_MAX_CREDENTIAL} bytes do not fit into SOCKS"
        if self.version != "5":
            if "\0" in self.username:
                yield "username", "a SOCKS4 user id can't hold a NUL"
            if self.password:
                yield "password", f"version {self.version} has no password"
            if self.network == ("udp",) and not self.over_tcp():
                yield "network", f"version {self.version} carries no UDP"
            if self.version == "4" and self.over_tcp():
                yield "udp_over_tcp", "version 4 carries no domains, and such streams are asked for by one"
