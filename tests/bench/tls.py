"""Trojan servers over TLS 1.3: gproxy beside sing-box and trojan, plain, within transports and multiplexed, in chains.

Each server has one inbound and goes out directly, or to the next server of a chain; gproxy and sing-box read the same
file. What the bench's own client doesn't speak (transports, multiplexing) a sing-box before the server does, which is
the same for all servers and isn't counted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench import measure, sandbox, secure
from tests.bench.bench import Bench
from tests.bench.certificate import NAME, make_certificate
from tests.bench.doors import Door
from tests.bench.load import Client
from tests.bench.origin import Ports
from tests.bench.peers import PROGRAMS, PeerFailed, Running, run_arguments
from tests.bench.sampling import MB, MICRO, Figures, Measure, Row, Sample, Spent, cpu_of, latency, none_failed
from tests.bench.secure import PASSWORD, HeldDoor, Noted, Opens, TlsDoor
from tests.bench.worker import WorkFailed

_CARRIER = "sing-box"
_WAYS = {"down": secure.download, "up": secure.upload}
_WORDS = {"down": "download", "up": "upload"}
_STREAMS = 4  # one after the other
_BULK_SHARE = 0.3  # of the bytes of a plain relay
_CARRIED_SHARE = 0.15
_CHAIN_SHARE = 0.25
_NEW_SHARE = 0.25  # of the connections of a plain relay
_AT_ONCE = 50
_OPENERS = 100
_WARM = 100
_IDLE_SHARE = 0.3  # of the held connections of a plain relay: each has a transfer
_HOPS = (1, 2, 3)
_TRANSFER = 1 << 20  # bytes
_KIB = 1024


@dataclass(frozen=True)
class Carriage:
    """What is between Trojan and TLS; the options of the server and of the client before it."""

    name: str
    inbound: dict[str, Any] = field(default_factory=dict)
    outbound: dict[str, Any] = field(default_factory=dict)
    tls: dict[str, Any] = field(default_factory=dict)
    bar: float = 1.0


_WS = {"transport": {"type": "ws", "path": "/bench"}}
_GRPC = {"transport": {"type": "grpc", "service_name": "bench"}}
_PLAIN = Carriage("trojan")
_CARRIAGES = (
    Carriage("ws", _WS, _WS, bar=1.3),
    Carriage("grpc", _GRPC, _GRPC, {"alpn": ["h2"]}, bar=2.0),
    Carriage(
        "smux", {"multiplex": {"enabled": True}}, {"multiplex": {"enabled": True, "protocol": "smux"}}, bar=1.3
    ),
)  # fmt: skip


class Server(Running):
    """One running Trojan server, and the doors through it. `beyond`: the next server of a chain."""

    def __init__(
        self,
        name: str,
        command: list[str],
        ports: Ports,
        home: Path,
        carriage: Carriage = _PLAIN,
        beyond: Server | None = None,
    ) -> None:
        home.mkdir(parents=True)
        certificate = make_certificate(home)
        (port,) = sandbox.free_ports(1)
        self.port = port
        self.certificate = str(certificate.chain)
        self.to_echo = TlsDoor(port, ports.echo, self.certificate)
        self.to_bulk = TlsDoor(port, ports.bulk, self.certificate)
        files = {"certificate_path": self.certificate, "key_path": str(certificate.key)}
        if name == "trojan":
            arguments = _trojan(home, port, ports, files)
        else:
            arguments = run_arguments(home, _options(name, home, port, files, carriage, beyond))
        # Within a transport the probe can't get further than TLS: whoever comes through it shows the rest.
        probe = self.to_echo.probe if carriage is _PLAIN else self._prove
        super().__init__([*command, *arguments], home, probe)

    def _prove(self) -> None:
        self.to_echo.connect().close()


class Carrier(Running):
    """A client before a server, with a SOCKS5 port, and the doors through both."""

    def __init__(self, command: list[str], server: Server, carriage: Carriage, ports: Ports, home: Path) -> None:
        home.mkdir(parents=True)
        (port,) = sandbox.free_ports(1)
        self.to_echo = Door("socks5", port, ports.echo)
        self.to_bulk = Door("socks5", port, ports.bulk)
        inbound = {"type": "mixed", "listen": "127.0.0.1", "listen_port": port}
        outbound = _outbound(server) | carriage.outbound
        options = {"log": _log(home), "inbounds": [inbound], "outbounds": [outbound]}
        super().__init__([*command, *run_arguments(home, options)], home, self._probe)

    def _probe(self) -> None:
        self.to_echo.connect().close()


def _log(home: Path) -> dict[str, str]:
    return {"level": "warn", "output": str(home / "log")}


def _options(
    name: str, home: Path, port: int, files: dict[str, str], carriage: Carriage, beyond: Server | None
) -> dict[str, Any]:
    inbound = {
        "type": "trojan",
        "listen": "127.0.0.1",
        "listen_port": port,
        "users": [{"name": "me", "password": PASSWORD}],
        "tls": {"enabled": True, **files, **carriage.tls},
    } | carriage.inbound
    outbound = {"type": "direct", "tag": "direct"} if beyond is None else _outbound(beyond)
    own = {"runtime": {"workers": 0, "control": str(home / "control.sock")}} if name == "gproxy" else {}
    return own | {"log": _log(home), "inbounds": [inbound], "outbounds": [outbound]}


def _outbound(server: Server) -> dict[str, Any]:
    return {
        "type": "trojan",
        "tag": "server",
        "server": "127.0.0.1",
        "server_port": server.port,
        "password": PASSWORD,
        "tls": {"enabled": True, "server_name": NAME, "certificate_path": server.certificate},
    }


def _trojan(home: Path, port: int, ports: Ports, files: dict[str, str]) -> list[str]:
    """trojan's own configuration: warnings only, tickets as the others have them."""
    ssl = {
        "cert": files["certificate_path"], "key": files["key_path"], "key_password": "", "dhparam": "", "cipher": "",
        "cipher_tls13": "", "prefer_server_cipher": True, "alpn": ["http/1.1"], "alpn_port_override": {},
        "reuse_session": True, "session_ticket": True, "session_timeout": 600, "plain_http_response": "", "curves": "",
    }  # fmt: skip
    tcp = {
        "prefer_ipv4": True, "no_delay": True, "keep_alive": True, "reuse_port": False, "fast_open": False,
        "fast_open_qlen": 20,
    }  # fmt: skip
    options = {
        "run_type": "server", "local_addr": "127.0.0.1", "local_port": port, "remote_addr": "127.0.0.1",
        "remote_port": ports.http, "password": [PASSWORD], "log_level": 2, "ssl": ssl, "tcp": tcp,
        "mysql": {"enabled": False},
    }  # fmt: skip
    file = home / "config.json"
    file.write_text(json.dumps(options, indent=2), encoding="utf-8")
    return [str(file)]


def _server(bench: Bench, name: str, carriage: Carriage = _PLAIN) -> Server:
    """A server that is started when first asked for, and serves all samples."""
    return bench.kept(("tls", name, carriage.name), lambda: _start(bench, name, carriage))


def _start(bench: Bench, name: str, carriage: Carriage = _PLAIN, beyond: Server | None = None) -> Server:
    home = bench.home(f"{name}-{carriage.name}")
    return Server(name, bench.command(name), bench.origin.ports, home, carriage, beyond)


def _chain(bench: Bench, name: str, hops: int) -> list[Server]:
    """The servers of a chain, the one that the client connects to first. The last one serves all chains."""
    if hops == 1:
        return [_server(bench, name)]
    rest = _chain(bench, name, hops - 1)
    return [bench.kept(("tls", name, "hop", rest[0].pid), lambda: _start(bench, name, beyond=rest[0])), *rest]


def _carrier(bench: Bench, server: Server, carriage: Carriage) -> Carrier:
    command = PROGRAMS[_CARRIER].find()
    if command is None:
        raise PeerFailed(f"without {_CARRIER} there is no client for it")
    home = bench.home(f"before-{carriage.name}")
    return bench.kept(
        ("tls", "before", server.pid), lambda: Carrier(command, server, carriage, bench.origin.ports, home)
    )


def _moved(bench: Bench, way: str, door: Opens, share: float) -> tuple[int, float]:
    """Move that share of the bytes in a few streams; return how many there were, and the seconds."""
    each = int(bench.work.bulk_bytes * share) // _STREAMS
    return each * _STREAMS, sum(bench.client.call(_WAYS[way], door, each) for _ in range(_STREAMS))


def _bulk(way: str) -> Sample:
    def sample(bench: Bench, name: str) -> Figures:
        if not PROGRAMS[name].trojan:
            return {}
        server = _server(bench, name)
        with cpu_of(server) as spent:
            total, _ = _moved(bench, way, server.to_bulk, _BULK_SHARE)
        return {f"tls-{way}": spent.seconds / total * 1e9}

    return sample


def _carried(carriage: Carriage, way: str) -> Sample:
    def sample(bench: Bench, name: str) -> Figures:
        if not PROGRAMS[name].transports or PROGRAMS[_CARRIER].find() is None:
            return {}
        server = _server(bench, name, carriage)
        door = _carrier(bench, server, carriage).to_bulk
        with cpu_of(server) as spent:
            total, _ = _moved(bench, way, door, _CARRIED_SHARE)
        return {f"tls-{carriage.name}-{way}": spent.seconds / total * 1e9}

    return sample


def _new(resumed: bool) -> Sample:
    def sample(bench: Bench, name: str) -> Figures:
        if not PROGRAMS[name].trojan:
            return {}
        server = _server(bench, name)
        count = int(bench.work.connections * _NEW_SHARE)
        _opened(bench, server, _WARM, resumed)
        with cpu_of(server) as spent:
            noted = _opened(bench, server, count, resumed)
        cost = spent.seconds / count * MICRO
        if resumed:
            return {"tls-resumed": cost}
        return {"tls-new": cost} | latency("tls-handshake", noted.handshakes) | latency("tls-first", noted.answers)

    return sample


def _opened(bench: Bench, server: Server, count: int, resumed: bool) -> Noted:
    noted = bench.client.call(secure.connections, server.to_echo, count, _AT_ONCE, resumed)
    none_failed(noted)
    return noted


def _hops(way: str) -> Sample:
    """The same bytes through chains of every length, one after the other."""

    def sample(bench: Bench, name: str) -> Figures:
        if not PROGRAMS[name].transports:
            return {}
        figures: Figures = {}
        for length in _HOPS:
            servers = _chain(bench, name, length)
            with ExitStack() as stack:
                spent = [stack.enter_context(cpu_of(server)) for server in servers]
                total, seconds = _moved(bench, way, servers[0].to_bulk, _CHAIN_SHARE)
            figures |= of_chain(way, length, total, seconds, spent)
        return figures | beside_one(way, figures)

    return sample


def of_chain(way: str, length: int, total: int, seconds: float, spent: list[Spent]) -> Figures:
    key = f"tls-chain-{way}-{length}"
    costs = {f"{key}-cpu-{hop}": each.seconds / total * 1e9 for hop, each in enumerate(spent, start=1)}
    return {f"{key}-rate": total / seconds / MB} | costs


def beside_one(way: str, figures: Figures) -> Figures:
    """What further hops change."""
    key = f"tls-chain-{way}"
    return {
        f"{key}-2-share": figures[f"{key}-2-rate"] / figures[f"{key}-1-rate"],
        f"{key}-3-share": figures[f"{key}-3-rate"] / figures[f"{key}-1-rate"],
        f"{key}-last": figures[f"{key}-3-cpu-3"] / figures[f"{key}-1-cpu-1"],
        f"{key}-first": figures[f"{key}-3-cpu-1"] / figures[f"{key}-2-cpu-1"],
    }


def _idle_memory(bench: Bench, name: str) -> Figures:
    """The slope between two numbers of held connections (see catalogue), before and after each has had a transfer."""
    if not PROGRAMS[name].trojan:
        return {}
    few, many = (int(held * _IDLE_SHARE) for held in bench.work.idle)
    with _fresh(bench, name) as server:
        door = HeldDoor(server.to_bulk, _TRANSFER)
        first = _rss_holding(bench, server, door, few)
        first_used = _rss_after_transfers(bench, server, few)
        second = _rss_holding(bench, server, door, many - few)
        second_used = _rss_after_transfers(bench, server, many)
        bench.client.call(Client.release)
    more = (many - few) * _KIB
    # What the first transfers need once is in neither slope: both begin after them.
    return {
        "tls-idle": (second - first_used) / more,
        "tls-idle-used": (second_used - first_used) / more,
        "tls-idle-once": (first_used - first) / MB,
    }


@contextmanager
def _fresh(bench: Bench, name: str) -> Iterator[Server]:
    server = _start(bench, name)
    try:
        yield server
    finally:
        server.stop()


def _rss_holding(bench: Bench, server: Server, door: HeldDoor, more: int) -> int:
    none_failed(bench.client.call(Client.connections, door, more, _OPENERS, keep=True))
    return _rss(server)


def _rss_after_transfers(bench: Bench, server: Server, held: int) -> int:
    """One transfer on each held connection, one after the other: no more than one buffer is needed at a time."""
    alive = bench.client.call(Client.alive)
    if alive < held:
        raise WorkFailed(f"{held - alive} transfers failed")
    return _rss(server)


def _rss(server: Server) -> int:
    measure.settle(server.pid)
    return measure.rss_bytes(server.pid)


def _new_rows() -> Iterator[Row]:
    yield Row("tls-new", f"trojan: new connection, {_AT_ONCE} at once", "CPU µs", ratio=1.0, beside=(("trojan", 1.0),))
    yield Row("tls-resumed", "trojan: the same, session resumed", "CPU µs")
    for part, bar in ((50, None), (99, 1.5)):
        yield Row(f"tls-handshake-p{part}", f"trojan: handshake, {_AT_ONCE} at once, p{part}", "ms", ratio=bar)
    for part in (50, 99):
        yield Row(f"tls-first-p{part}", f"trojan: first byte, {_AT_ONCE} at once, p{part}", "ms")


def chain_rows(way: str) -> Iterator[Row]:
    key, word = f"tls-chain-{way}", _WORDS[way]
    for length in _HOPS:
        title = f"{length} {'hop' if length == 1 else 'hops'}, {word}"
        yield Row(f"{key}-{length}-rate", f"{title}: throughput", "MB/s", more_is_better=True)
        if length > 1:
            yield Row(f"{key}-{length}-share", f"{title}: beside 1 hop", "x", more_is_better=True)
        for hop in range(1, length + 1):
            yield Row(f"{key}-{length}-cpu-{hop}", f"{title}: CPU of hop {hop}", "CPU s/GB")
    yield Row(f"{key}-last", f"3 hops, {word}: CPU of the last beside a single one's", "x")
    yield Row(f"{key}-first", f"3 hops, {word}: CPU of the first beside the first's of 2", "x")


_BULK_ROWS = tuple(
    Row(f"tls-{way}", f"trojan: {_WORDS[way]}", "CPU s/GB", ratio=0.8, beside=(("trojan", 0.6),)) for way in _WAYS
)
_CARRIED_ROWS = tuple(
    Row(f"tls-{carriage.name}-{way}", f"{carriage.name} over TLS: {_WORDS[way]}", "CPU s/GB", ratio=carriage.bar)
    for carriage in _CARRIAGES
    for way in _WAYS
)
_IDLE_ROWS = (
    Row("tls-idle", "trojan: idle connection", "KiB", ratio=1.2),
    Row("tls-idle-used", "trojan: idle connection after 1 MiB", "KiB", ratio=1.2),
    Row("tls-idle-once", "trojan: RSS grown by the first transfers", "MB"),
)
_GROUP = "tls"


def _measure(name: str, rows: tuple[Row, ...], parts: tuple[Sample, ...], slow: bool = False) -> Measure:
    return Measure(f"{_GROUP}-{name}", rows, parts, slow, _GROUP)


MEASURES = (
    _measure("bulk", _BULK_ROWS, tuple(map(_bulk, _WAYS))),
    _measure("new", tuple(_new_rows()), (_new(False), _new(True))),
    _measure("carried", _CARRIED_ROWS, tuple(_carried(carriage, way) for carriage in _CARRIAGES for way in _WAYS)),
    _measure("chain", tuple(row for way in _WAYS for row in chain_rows(way)), tuple(map(_hops, _WAYS)), slow=True),
    _measure("idle-memory", _IDLE_ROWS, (_idle_memory,), slow=True),
)
