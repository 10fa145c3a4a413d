"""What can be configured about Shadowsocks."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Annotated, Final, Literal

from gproxy.base.errors import ConfigError
from gproxy.layers.plugin.options import ClientPlugin, ServerPlugin
from gproxy.protocol.shadowsocks.wire.keys import keys_of_password
from gproxy.protocol.shadowsocks.wire.legacy_ciphers import check_method
from gproxy.protocol.shadowsocks.wire.methods import METHODS, Method
from gproxy.schema.fields import Secret
from gproxy.schema.groups import Dial, Item, Listen, Manageable, NetworkChoice, OverTcp, Proxy, Server
from gproxy.schema.model import Options, doc
from gproxy.schema.multiplex import MultiplexDial, MultiplexListen
from gproxy.schema.tls import TlsDial, TlsInbound, TlsListen, TlsOutbound
from gproxy.schema.transport import Transport, TransportDial, TransportListen

MethodName = Literal[
    "none",
    "aes-128-gcm",
    "aes-192-gcm",
    "aes-256-gcm",
    "chacha20-ietf-poly1305",
    "xchacha20-ietf-poly1305",
    "2022-blake3-aes-128-gcm",
    "2022-blake3-aes-256-gcm",
    "2022-blake3-chacha20-poly1305",
    "aes-128-ctr",
    "aes-192-ctr",
    "aes-256-ctr",
    "aes-128-cfb",
    "aes-192-cfb",
    "aes-256-cfb",
    "camellia-128-cfb",
    "camellia-192-cfb",
    "camellia-256-cfb",
    "bf-cfb",
    "rc4-md5",
    "chacha20",
    "chacha20-ietf",
    "xchacha20",
    "salsa20",
]


class ShadowsocksUser(Options):
    """One of several users of an inbound."""

    name: Annotated[str, doc("User name, for rules and accounts.")]
    password: Annotated[Secret, doc("Password; for a 2022 method the user's own key in base64.")]


class Destination(Server):
    """A server that a relay passes one user's traffic on to, without being able to read it."""

    name: Annotated[str, doc("Name of the destination, for rules and accounts.")]
    password: Annotated[Secret, doc("The destination's key in base64.")]


class Encryption(Options):
    """The method and its switch."""

    method: Annotated[MethodName, doc("Encryption method.")]
    password: Annotated[
        Secret, doc("Password; for a 2022 method a key in base64, as `gproxy generate ss-key METHOD` makes it.")
    ] = Secret("")
    legacy: Annotated[
        bool,
        doc("Take a retired stream cipher as method, which protects neither from forgers nor from readers of today."),
    ] = False

    def check(self) -> Iterator[tuple[str, str]]:
        """A retired cipher was meant, and there is a password where one is needed."""
        yield from super().check()
        kind = METHODS[self.method].kind
        if kind == "stream" and not self.legacy:
            yield "method", f"{self.method} is a retired cipher: only with `legacy = true`"
        if self.legacy and kind != "stream":
            yield "legacy", f"{self.method} is no retired cipher"

    def chosen(self) -> Method:
        """The method with its sizes."""
        return METHODS[self.method]


def warn_of_retired(method: Method, log: logging.Logger) -> None:
    """Say at the start what a retired cipher is worth. Raises ConfigError for one that the libraries here lack."""
    if method.kind == "stream":
        try:
            check_method(method)
        except ValueError as error:
            raise ConfigError(f"shadowsocks: {error}") from error
        log.warning("%s is retired: who can change the bytes on their way can read and forge them", method.name)


def password_problem(method: Method, password: str, *, single: bool = True) -> str:
    """What is wrong with a password for this method, without telling it; empty if nothing is."""
    if method.kind == "none":
        return ""
    if not password:
        return "expected a password"
    if method.kind != "2022":
        return ""
    try:
        keys = keys_of_password(method, password)
    except ValueError as error:
        return str(error)
    return "expected a single key" if single and len(keys) > 1 else ""


_AROUND_TCP: Final = "Around TCP only: UDP goes past it. sing-box does not have this for Shadowsocks; Xray does."


class ShadowsocksInboundOptions(
    ServerPlugin, Listen, TransportListen, TlsListen, MultiplexListen, NetworkChoice, Encryption, Manageable
):
    """A server for Shadowsocks clients."""

    tls: Annotated[TlsInbound, doc(f"TLS towards clients. {_AROUND_TCP}")] = TlsInbound()
    transport: Annotated[
        Transport | None, doc(f"V2Ray transport of the streams, within TLS: a table with `type`. {_AROUND_TCP}")
    ] = None
    users: Annotated[
        tuple[ShadowsocksUser, ...],
        doc("Several users. With a 2022 method `password` is the server's key, and each user has one beside it."),
    ] = ()
    destinations: Annotated[
        tuple[Destination, ...],
        doc("Relay: the servers that traffic goes on to, by the identity header of a 2022 AES method."),
    ] = ()

    def check(self) -> Iterator[tuple[str, str]]:
        """Passwords are keys where they must be, and the method can tell users apart."""
        yield from super().check()
        yield from _around(self, no_tcp=self.network == ("udp",))
        method = self.chosen()
        several = self.users or self.destinations or self.managed
        needed = method.kind == "2022" or not several
        if needed and (problem := password_problem(method, self.password.reveal())):
            yield "password", problem
        if self.users and self.destinations:
            yield "destinations", "a relay has no users: give either `users` or `destinations`"
        if self.managed and (self.users or self.destinations):
            yield "managed", "the service says who the users are: give none here"
        which = "users" if self.users else "destinations" if self.destinations else "managed"
        if several and method.kind in ("stream", "none"):
            yield which, f"{method.name} can't tell users apart"
        if several and method.kind == "2022" and not method.block:
            yield which, f"{method.name} has no identity headers"
        if self.destinations and self.multiplex.enabled:
            yield "multiplex", "a relay does not see what it relays"
        if self.destinations and method.kind != "2022":
            yield "destinations", "a relay needs a 2022 AES method"
        for key, entries in (("users", self.users), ("destinations", self.destinations)):
            seen: set[str] = set()
            for entry in entries:
                password = entry.password.reveal()
                if problem := password_problem(method, password):
                    yield key, f"password of {entry.name!r}: {problem}"
                elif password in seen:
                    yield key, f"password of {entry.name!r}: another one has the same"
                seen.add(password)

    def user_problem(self, password: str) -> str:
        """See Manageable."""
        return password_problem(self.chosen(), password)


class ShadowsocksOutboundOptions(
    Item, Proxy, ClientPlugin, TransportDial, TlsDial, MultiplexDial, Dial, OverTcp, Encryption
):
    """A client of a Shadowsocks server."""

    tls: Annotated[TlsOutbound, doc(f"TLS towards the server. {_AROUND_TCP}")] = TlsOutbound()
    transport: Annotated[
        Transport | None, doc(f"V2Ray transport of the streams, within TLS: a table with `type`. {_AROUND_TCP}")
    ] = None

    def check(self) -> Iterator[tuple[str, str]]:
        """The password is a row of keys where it must be."""
        yield from super().check()
        yield from _around(self, no_tcp=self.network == ("udp",) and not self.over_tcp())
        if self.multiplex.enabled and self.over_tcp():
            yield "udp_over_tcp", "`multiplex` carries datagrams itself: give either one"
        if problem := password_problem(self.chosen(), self.password.reveal(), single=False):
            yield "password", problem


def _around(
    options: ShadowsocksInboundOptions | ShadowsocksOutboundOptions, *, no_tcp: bool
) -> Iterator[tuple[str, str]]:
    """What does not go together with TLS or a transport."""
    if options.multiplex.enabled and no_tcp and isinstance(options, ShadowsocksInboundOptions):
        yield "multiplex", "`network` leaves no TCP to carry"
    for key, there in (("tls", options.tls.enabled), ("transport", options.transport is not None)):
        if there and options.plugin:
            yield key, "a plugin makes its own connections: give either one"
        elif there and no_tcp:
            yield key, "`network` leaves no TCP to carry"
