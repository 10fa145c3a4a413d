"""What can be configured about HTTP proxies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import field
from typing import Annotated, ClassVar

from gproxy.schema.fields import Secret
from gproxy.schema.groups import Dial, Item, Listen, Proxy, User
from gproxy.schema.headers import field_problems, hosts_in
from gproxy.schema.model import doc
from gproxy.schema.tls import TlsDial, TlsListen

_TARGET = re.compile(r"[!-\"$-~]+")
# What the outbound itself says, and a body that CONNECT does not have.
_OWN = frozenset(("content-length", "transfer-encoding", "proxy-authorization"))


class HttpInboundOptions(Listen, TlsListen):
    """A server for HTTP proxy clients: CONNECT, and requests in absolute form."""

    not_yet: ClassVar[tuple[str, ...]] = ("set_system_proxy", "domain_resolver")

    users: Annotated[tuple[User, ...], doc("Who may use the proxy, with Basic authentication; anybody if empty.")] = ()

    def check(self) -> Iterator[tuple[str, str]]:
        """RFC 7617 section 2: the first colon ends the user name."""
        yield from super().check()
        if any(":" in user.username for user in self.users):
            yield "users", "a name with a colon can't be sent with Basic authentication"


class HttpOutboundOptions(Item, Proxy, Dial, TlsDial):
    """A client of an HTTP proxy, with CONNECT. It carries TCP only."""

    username: Annotated[str, doc("User name for Basic authentication; none is sent if empty.")] = ""
    password: Annotated[Secret, doc("Password for Basic authentication.")] = Secret("")
    path: Annotated[
        str, doc("What the request line asks for instead of the target, which then stands in the Host field alone.")
    ] = ""
    headers: Annotated[
        dict[str, tuple[str, ...]],
        doc("Extra fields of the request, each with a value or a list of values. `Host` replaces the Host field."),
    ] = field(default_factory=dict)

    def check(self) -> Iterator[tuple[str, str]]:
        """Nothing that would break the request apart, or not be sent."""
        yield from super().check()
        if self.password and not self.username:
            yield "password", "expected a `username` beside it"
        if ":" in self.username:
            yield "username", "a name with a colon can't be sent with Basic authentication"
        if self.path and not _TARGET.fullmatch(self.path):
            yield "path", "expected visible ASCII characters without `#`: encode others with `%`"
        for problem in field_problems(self.headers, _OWN):
            yield "headers", problem
        hosts = hosts_in(self.headers)
        if len(hosts) > 1:
            yield "headers", "more than one Host"
        if hosts and self.path:
            yield "path", "can't be set together with a Host header, since the target would then stand nowhere"
