"""From the listen fields of an inbound or a service to the sockets it needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gproxy.base.address import IP, parse_ip
from gproxy.base.iface import Entrance
from gproxy.config.listening import DEFAULT_ADDRESS
from gproxy.net import sockopt
from gproxy.net.bind import Endpoint, Kind
from gproxy.net.unix import unix_path
from gproxy.schema.groups import Bind


def endpoints(options: Bind, entrances: Iterable[Entrance]) -> Iterator[tuple[Endpoint, Entrance]]:
    """Every socket that it listens on, with the door that it leads to."""
    path = unix_path(options.listen)
    for entrance in entrances:
        if path is not None:
            if entrance.kind == "stream":
                yield _endpoint(options, "stream", path, 0), entrance
            continue
        host = parse_ip(options.listen) if options.listen else DEFAULT_ADDRESS
        for port in ports(options):
            yield _endpoint(options, entrance.kind, host, port), entrance


def ports(options: Bind) -> list[int]:
    """Every port that the listen fields name, each once."""
    single = [] if options.listen_port is None else [int(options.listen_port)]
    ranged = [port for each in options.listen_ports for port in range(each.first, each.last + 1)]
    return list(dict.fromkeys(single + ranged))


def _endpoint(options: Bind, kind: Kind, host: IP | str, port: int) -> Endpoint:
    stream = kind == "stream"
    return Endpoint(
        kind=kind,
        host=host,
        port=port,
        bind_interface=options.bind_interface,
        routing_mark=int(options.routing_mark),
        reuse_addr=options.reuse_addr,
        tcp_fast_open=stream and options.tcp_fast_open,
        tcp_multi_path=stream and options.tcp_multi_path,
        keep_alive=sockopt.keep_alive(
            options.disable_tcp_keep_alive, options.tcp_keep_alive, options.tcp_keep_alive_interval
        )
        if stream
        else None,
    )
