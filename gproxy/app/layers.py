"""What the assembly puts around the protocols: layers on the way in, and the dialers beneath them on the way out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from gproxy.app import transports
from gproxy.app.sharing import Share
from gproxy.base.address import IP, Address, parse_host
from gproxy.base.defaults import CONNECT_TIMEOUT, FALLBACK_DELAY
from gproxy.base.errors import DialError
from gproxy.base.iface import (
    Accept,
    Branch,
    ClientLayer,
    Connect,
    Dialer,
    Lookup,
    Outbound,
    PacketConn,
    ServerLayer,
    Stream,
)
from gproxy.base.session import Session
from gproxy.engine.admission import Admission
from gproxy.layers.plugin.options import ClientPlugin, ServerPlugin
from gproxy.layers.plugin.simpleobfs import Obfs
from gproxy.net import sockopt
from gproxy.net.direct import SystemDialer
from gproxy.net.inner import Inner
from gproxy.net.proxied import ProxyProtocol
from gproxy.net.resolve import system_lookup
from gproxy.net.tcp import SocketOptions
from gproxy.route.options import RouteOptions
from gproxy.schema.groups import Dial, Listen, Server
from gproxy.schema.model import Options
from gproxy.schema.tls import Authorities, Tls, TlsDial, TlsInbound, TlsListen, TlsOutbound
from gproxy.schema.transport import Transport, TransportDial, TransportListen

if TYPE_CHECKING:
    from gproxy.layers.tls.supply import Supply
    from gproxy.layers.tls.trust import Trust

_T = TypeVar("_T", bound=Tls)


_NO_TLS = TlsInbound()


def _by_itself(accept: Accept, stream: Stream, session: Session) -> None:
    accept(stream, session)


def accepting(
    options: Listen,
    accept: Accept,
    supply: Supply | None = None,
    branch: Branch = _by_itself,
    share: Share | None = None,
    admission: Admission | None = None,
) -> Accept:
    """An inbound's door behind the layers that its options ask for.

    `supply` has its certificate, if they have none; `branch` serves streams of links; `share` is what it has in common
    with others. `admission` is asked as soon as it is known who comes, and to whom.
    """
    if isinstance(options, ServerPlugin) and (obfs := options.obfs()) is not None:
        accept = _obfs_server(obfs).accepting(accept)
    transport = options.transport if isinstance(options, TransportListen) else None
    tls = options.tls if isinstance(options, TlsListen) else _NO_TLS
    if isinstance(options, TlsListen) and not tls.alpn:
        tls = dataclasses.replace(tls, alpn=options.spoken())
    if isinstance(options, ServerPlugin) and (v2ray := options.v2ray()) is not None:
        transport, tls = v2ray
    if transport is not None:
        accept = transports.server(transport, branch).accepting(accept)
    if tls.enabled:
        from gproxy.layers.tls.layer import TlsServer

        accept = TlsServer(_for(transport, tls), supply).accepting(accept)
    if admission is not None:
        accept = admission.streams(accept)
    if share is not None:
        accept = share.join(accept, supply)
    if options.proxy_protocol:
        accept = ProxyProtocol().accepting(accept)
    return accept


class _Chained:
    """The outbound that a `detour` names, looked up at each dial: outbounds are built in any order."""

    __slots__ = ("_outbounds", "_tag")

    def __init__(self, outbounds: Mapping[str, Outbound], tag: str) -> None:
        self._outbounds = outbounds
        self._tag = tag

    def dial(self, target: Address, session: Session) -> Stream:
        return self._outbounds[self._tag].dial(target, session)

    def dial_packet(self, target: Address, session: Session) -> PacketConn:
        return self._outbounds[self._tag].dial_packet(target, session)


class _Resolved:
    """A dialer that gets addresses instead of names: what `domain_resolver` means beside a `detour`."""

    __slots__ = ("_lookup", "_via")

    def __init__(self, via: Dialer, lookup: Lookup) -> None:
        self._via = via
        self._lookup = lookup

    def dial(self, target: Address, session: Session) -> Stream:
        failure = DialError("no address to try", reason="dns")
        for ip in self._addresses(target, session):
            try:
                return self._via.dial(Address(ip, target.port), session)
            except DialError as error:
                failure = error
        raise failure

    def dial_packet(self, target: Address, session: Session) -> PacketConn:
        return self._via.dial_packet(Address(self._addresses(target, session)[0], target.port), session)

    def _addresses(self, target: Address, session: Session) -> tuple[IP, ...]:
        host = target.host
        return self._lookup(host, session) if isinstance(host, str) else (host,)


def dialer(
    options: Dial, outbounds: Mapping[str, Outbound], lookup: Lookup = system_lookup, inner: Inner | None = None
) -> Dialer:
    """What an outbound's connections are made with. `inner`: what is refused to clients from elsewhere."""
    if options.detour:
        chained = _Chained(outbounds, options.detour)
        return _Resolved(chained, lookup) if options.domain_resolver else chained
    return system_dialer(options, lookup, inner)


_D = TypeVar("_D", bound=Options)


def with_defaults(options: _D, route: RouteOptions) -> _D:
    """An outbound's options with what `route` says for those that say nothing themselves."""
    if not isinstance(options, Dial) or options.detour or not (route.default_interface or route.default_mark):
        return options
    return dataclasses.replace(
        options,
        bind_interface=options.bind_interface or route.default_interface,
        routing_mark=options.routing_mark or route.default_mark,
    )


def system_dialer(options: Dial, lookup: Lookup = system_lookup, inner: Inner | None = None) -> SystemDialer:
    """The system's sockets, shaped by the dial fields."""
    return SystemDialer(
        SocketOptions(
            bind_interface=options.bind_interface,
            inet4_bind_address=options.inet4_bind_address,
            inet6_bind_address=options.inet6_bind_address,
            bind_address_no_port=options.bind_address_no_port,
            routing_mark=int(options.routing_mark),
            reuse_addr=options.reuse_addr,
            netns=options.netns,
            tcp_fast_open=options.tcp_fast_open,
            tcp_multi_path=options.tcp_multi_path,
            udp_fragment=options.udp_fragment,
            keep_alive=sockopt.keep_alive(
                options.disable_tcp_keep_alive, options.tcp_keep_alive, options.tcp_keep_alive_interval
            ),
        ),
        connect_timeout=options.connect_timeout or CONNECT_TIMEOUT,
        fallback_delay=options.fallback_delay or FALLBACK_DELAY,
        lookup=lookup,
        inner=inner,
    )


class Trusted:
    """Whom all outbounds believe by themselves, read when the first one needs it."""

    def __init__(self, options: Authorities) -> None:
        self._options = options
        self._trust: Trust | None = None

    def trust(self) -> Trust:
        """Raises ConfigError."""
        if self._trust is None:
            from gproxy.layers.tls.trust import Trust

            self._trust = Trust.of(self._options)
        return self._trust


def connecting(options: Options, via: Dialer, trusted: Trusted) -> Connect:
    """How an outbound reaches its server. An outbound without one (direct) never asks. Raises ConfigError."""
    if not isinstance(options, Server):
        return _no_server
    server = Address(parse_host(options.server), options.server_port)

    def connect(session: Session) -> Stream:
        return via.dial(server, session)

    layered: Connect = connect
    transport = options.transport if isinstance(options, TransportDial) else None
    tls = options.tls if isinstance(options, TlsDial) else TlsOutbound()
    if isinstance(options, ClientPlugin) and (v2ray := options.v2ray()) is not None:
        transport, tls = v2ray
    if tls.enabled:
        from gproxy.layers.tls.client import TlsClient

        shared = trusted.trust() if tls.believes_others() else None
        layered = TlsClient(_for(transport, tls), server.host, shared).connecting(layered)
    if transport is not None:
        named = parse_host(tls.server_name) if tls.enabled and tls.server_name else None
        host = _authority(Address(named, 443) if named is not None else server, 443 if tls.enabled else 80)
        layered = transports.client(transport, host, tls=tls.enabled).connecting(layered)
    if isinstance(options, ClientPlugin) and (obfs := options.obfs()) is not None:
        layered = _obfs_client(obfs, options.server_port).connecting(layered)
    return layered


def _for(transport: Transport | None, tls: _T) -> _T:
    """TLS agrees on what the transport speaks, unless the options say something else."""
    if transport is None:
        return tls
    spoken = transports.protocols(transport, server=isinstance(tls, TlsInbound))
    if "h2" in spoken and isinstance(tls, TlsInbound) and tls.alpn and "h2" not in tls.alpn:
        return dataclasses.replace(tls, alpn=("h2", *tls.alpn))
    return tls if tls.alpn else dataclasses.replace(tls, alpn=spoken)


def _authority(server: Address, usual: int) -> str:
    """The server as browsers name it in a request."""
    return str(server).rpartition(":")[0] if server.port == usual else str(server)


def _obfs_client(obfs: Obfs, port: int) -> ClientLayer:
    from gproxy.layers.transport.obfs import HttpClient, TlsClient

    if obfs.mode == "tls":
        return TlsClient(obfs.host)
    return HttpClient(obfs.host, port, obfs.target, obfs.method or "GET")


def _obfs_server(obfs: Obfs) -> ServerLayer:
    from gproxy.layers.transport.obfs import HttpServer, TlsServer

    if obfs.mode == "tls":
        return TlsServer(obfs.host)
    return HttpServer(obfs.host, obfs.method, at_once=obfs.at_once)


def _no_server(session: Session) -> Stream:
    raise AssertionError("this outbound has no server to connect to")
