"""The V2Ray transports of the options, as layers. Each imports its own libraries, so it is imported when it is used."""

from __future__ import annotations

from gproxy.base.iface import Branch, ClientLayer, ServerLayer
from gproxy.schema.transport import GrpcTransport, HttpTransport, HttpUpgradeTransport, Transport, WsTransport


def protocols(options: Transport, *, server: bool) -> tuple[str, ...]:
    """What TLS agrees on for a transport, unless the options say something else."""
    if isinstance(options, HttpTransport) and server:
        return ("h2", "http/1.1")
    return ("h2",) if isinstance(options, (HttpTransport, GrpcTransport)) else ("http/1.1",)


def client(options: Transport, host: str, *, tls: bool) -> ClientLayer:
    """Towards a server. `host` is what is asked for, unless the options say another."""
    if isinstance(options, WsTransport):
        from gproxy.layers.transport.websocket import WsClient

        early, name = options.max_early_data, options.early_data_header_name
        return WsClient(host, options.place(), options.headers, early=early, early_name=name)
    if isinstance(options, GrpcTransport):
        from gproxy.layers.transport.grpc import GrpcClient

        return GrpcClient(
            host, options.service_name, scheme="https" if tls else "http", idle_timeout=options.idle_timeout,
            ping_timeout=options.ping_timeout, permit_without_stream=options.permit_without_stream,
        )  # fmt: skip
    if isinstance(options, HttpTransport):
        from gproxy.layers.transport.httpstream import Http1Client, StreamClient

        hosts = options.host or (host,)
        if not tls:
            return Http1Client(hosts, options.place(), options.method, options.headers)
        return StreamClient(
            hosts, options.place(), options.method, options.headers, idle_timeout=options.idle_timeout,
            ping_timeout=options.ping_timeout,
        )  # fmt: skip
    from gproxy.layers.transport.httpupgrade import HttpUpgradeClient

    assert isinstance(options, HttpUpgradeTransport), "there is no other one"
    return HttpUpgradeClient(options.host or host, options.place(), options.headers)


def server(options: Transport, branch: Branch) -> ServerLayer:
    """Towards clients. `branch` serves each stream of those that carry many on a link."""
    if isinstance(options, WsTransport):
        from gproxy.layers.transport.websocket import WsServer

        early, name = bool(options.max_early_data), options.early_data_header_name
        return WsServer(options.place(), options.headers, early=early, early_name=name)
    if isinstance(options, GrpcTransport):
        from gproxy.layers.transport.grpc import GrpcServer

        return GrpcServer(options.service_name, branch, options.idle_timeout)
    if isinstance(options, HttpTransport):
        from gproxy.layers.transport.httpstream import StreamServer

        place, idle = options.place(), options.idle_timeout
        return StreamServer(options.host, place, options.method, options.headers, branch, idle)
    from gproxy.layers.transport.httpupgrade import HttpUpgradeServer

    assert isinstance(options, HttpUpgradeTransport), "there is no other one"
    return HttpUpgradeServer(options.host, options.place(), options.headers)
