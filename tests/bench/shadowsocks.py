"""Shadowsocks servers: gproxy beside sing-box and ss-server, which has no 2022 methods.

Each server has one inbound of one method, and goes out directly; gproxy and sing-box read the same file.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench import measure, sandbox, sealed
from tests.bench.bench import Bench
from tests.bench.load import Client
from tests.bench.origin import Ports
from tests.bench.peers import PROGRAMS, Running, run_arguments
from tests.bench.sampling import MICRO, Figures, Measure, Row, Sample, cpu_of, none_failed
from tests.bench.sealed import SealedDoor
from tests.bench.worker import WorkFailed
from tests.support.shadowsocks import key_of

_BULK = ("aes-128-gcm", "aes-256-gcm", "chacha20-ietf-poly1305", "2022-blake3-aes-128-gcm")
_SMALL = ("aes-128-gcm", "2022-blake3-aes-128-gcm")
_BULK_BARS: dict[str, tuple[float, tuple[tuple[str, float], ...]]] = {  # beside sing-box, and beside others
    "aes-128-gcm": (0.7, (("ss-server", 0.6),)),
    "aes-256-gcm": (0.7, (("ss-server", 0.6),)),
    "chacha20-ietf-poly1305": (0.85, (("ss-server", 0.7),)),
    "2022-blake3-aes-128-gcm": (0.7, ()),
}
_BULK_SHARE = 0.5  # of the bytes of a plain relay
_NEW_SHARE = 0.25  # of the connections, where a peer may try a thousand keys for each
_WAYS = {"down": sealed.download, "up": sealed.upload}
_STREAMS = 4  # one after the other
_AT_ONCE = 50
_OPENERS = 100
_WARM = 200
_PACKET = 1200
_UDP_CLIENTS = 8
_UDP_WINDOW = 16
_FLOOD_WINDOW = 32  # what any default buffer holds
_USERS = 1000
_KNOWN = 776  # the user that comes
_MANY_METHOD = "aes-256-gcm"
_KIB = 1024


class Server(Running):
    """One running server with one method, and the doors through it. `users`: so many instead of one password."""

    def __init__(self, name: str, command: list[str], method: str, ports: Ports, home: Path, users: int = 0) -> None:
        home.mkdir(parents=True)
        (port,) = sandbox.free_ports(1)
        password = _password(method, _KNOWN if users else None)
        key = key_of(method, password)
        self.to_echo = SealedDoor(key, port, ports.echo)
        self.to_bulk = SealedDoor(key, port, ports.bulk)
        self.to_udp = SealedDoor(key, port, ports.udp)
        if name == "ss-server":
            arguments = ["-s", "127.0.0.1", "-p", str(port), "-k", password, "-m", method, "-u"]
        else:
            arguments = run_arguments(home, _options(name, home, port, method, users))
        super().__init__([*command, *arguments], home, self.to_echo.probe)


def _options(name: str, home: Path, port: int, method: str, users: int) -> dict[str, Any]:
    inbound: dict[str, Any] = {"type": "shadowsocks", "listen": "127.0.0.1", "listen_port": port, "method": method}
    if users:
        inbound["users"] = [{"name": f"user-{one}", "password": _password(method, one)} for one in range(users)]
    else:
        inbound["password"] = _password(method, None)
    own = {"runtime": {"workers": 0, "control": str(home / "control.sock")}} if name == "gproxy" else {}
    log = {"level": "warn", "output": str(home / "log")}
    return own | {"log": log, "inbounds": [inbound], "outbounds": [{"type": "direct", "tag": "direct"}]}


def _password(method: str, user: int | None) -> str:
    if not method.startswith("2022-"):
        return "password" if user is None else f"password-{user}"
    size = 16 if "128" in method else 32
    return base64.b64encode(hashlib.sha256(f"{user}".encode()).digest()[:size]).decode()


def _has(name: str, method: str, users: int = 0) -> bool:
    """Whether a peer has that."""
    if name == "ss-server":
        return not method.startswith("2022-") and not users
    return PROGRAMS[name].shadowsocks


def _server(bench: Bench, name: str, method: str, users: int = 0) -> Server:
    """A server that is started when first asked for, and serves all samples."""
    return bench.kept((name, method, users), lambda: _start(bench, name, method, users))


@contextmanager
def _fresh(bench: Bench, name: str, method: str) -> Iterator[Server]:
    server = _start(bench, name, method, 0)
    try:
        yield server
    finally:
        server.stop()


def _start(bench: Bench, name: str, method: str, users: int) -> Server:
    return Server(name, bench.command(name), method, bench.origin.ports, bench.home(f"{name}-{method}"), users)


def _bulk(method: str, way: str) -> Sample:
    def sample(bench: Bench, name: str) -> Figures:
        if not _has(name, method):
            return {}
        server = _server(bench, name, method)
        each = int(bench.work.bulk_bytes * _BULK_SHARE) // _STREAMS
        with cpu_of(server) as spent:
            for _ in range(_STREAMS):
                bench.client.call(_WAYS[way], server.to_bulk, each)
        return {f"ss-{way}-{method}": spent.seconds / (each * _STREAMS) * 1e9}

    return sample


def _new(method: str) -> Sample:
    def sample(bench: Bench, name: str) -> Figures:
        if not _has(name, method):
            return {}
        return {f"ss-new-{method}": _cost_of_new(bench, _server(bench, name, method), bench.work.connections)}

    return sample


def _cost_of_new(bench: Bench, server: Server, count: int) -> float:
    """CPU µs for each of so many new connections."""
    with cpu_of(server) as spent:
        opened = bench.client.call(Client.connections, server.to_echo, count, _AT_ONCE)
    none_failed(opened)
    return spent.seconds / count * MICRO


def _keep_alive(method: str) -> Sample:
    def sample(bench: Bench, name: str) -> Figures:
        if not _has(name, method):
            return {}
        server = _server(bench, name, method)
        none_failed(bench.client.call(Client.connections, server.to_echo, _AT_ONCE, _AT_ONCE, keep=True))
        with cpu_of(server) as spent:
            done = bench.client.call(Client.exchange, bench.work.requests)
        bench.client.call(Client.release)
        if done < bench.work.requests:
            raise WorkFailed(f"{bench.work.requests - done} requests were not answered")
        return {f"ss-request-{method}": spent.seconds / done * MICRO}

    return sample


def _idle_memory(method: str) -> Sample:
    """See catalogue: the slope between two numbers of held connections."""

    def sample(bench: Bench, name: str) -> Figures:
        if not _has(name, method):
            return {}
        few, many = bench.work.idle
        with _fresh(bench, name, method) as server:
            first = _rss_holding(bench, server, few)
            second = _rss_holding(bench, server, many - few)
            bench.client.call(Client.release)
        return {f"ss-idle-{method}": (second - first) / (many - few) / _KIB}

    return sample


def _rss_holding(bench: Bench, server: Server, more: int) -> int:
    none_failed(bench.client.call(Client.connections, server.to_echo, more, _OPENERS, keep=True))
    measure.settle(server.pid)
    return measure.rss_bytes(server.pid)


def _udp(method: str) -> Sample:
    """Good packets, and then garbage among which every 33rd packet is good."""

    def sample(bench: Bench, name: str) -> Figures:
        if not _has(name, method):
            return {}
        server = _server(bench, name, method)
        count = bench.work.datagrams
        with cpu_of(server) as spent:
            result = bench.client.call(sealed.datagrams, server.to_udp, count, _PACKET, _UDP_CLIENTS, _UDP_WINDOW)
        good = spent.seconds / (2 * result.received) * MICRO
        with cpu_of(server) as spent:
            echoed = bench.client.call(sealed.flood, server.to_udp, count, _PACKET, _FLOOD_WINDOW)
        flood = spent.seconds / (count + 2 * echoed) * MICRO
        lost = max(0, result.sent - result.received - _UDP_CLIENTS * _UDP_WINDOW)
        key = f"ss-udp-{method}"
        return {key: good, f"{key}-lost": lost, f"{key}-flood": flood, f"{key}-garbage": flood / good}

    return sample


def _users(bench: Bench, name: str) -> Figures:
    """The cost of a new connection with many users, beside that with one, both in the same sample."""
    if not _has(name, _MANY_METHOD, _USERS):
        return {}
    one, many = _server(bench, name, _MANY_METHOD), _server(bench, name, _MANY_METHOD, _USERS)
    for server in (one, many):
        none_failed(bench.client.call(Client.connections, server.to_echo, _WARM, _AT_ONCE))
    count = int(bench.work.connections * _NEW_SHARE)
    costs = [_cost_of_new(bench, server, count) for server in (one, many)]
    return {"ss-users-new": costs[1], "ss-users-ratio": costs[1] / costs[0]}


def _rows(methods: tuple[str, ...], make: Callable[[str], Iterator[Row]]) -> tuple[Row, ...]:
    return tuple(row for method in methods for row in make(method))


def _bulk_rows(method: str) -> Iterator[Row]:
    ratio, beside = _BULK_BARS[method]
    for way, text in {"down": "download", "up": "upload"}.items():
        yield Row(f"ss-{way}-{method}", f"{method}: {text}", "CPU s/GB", ratio=ratio, beside=beside)


def _new_rows(method: str) -> Iterator[Row]:
    yield Row(f"ss-new-{method}", f"{method}: new connection, {_AT_ONCE} at once", "CPU µs", ratio=1.3)


def _request_rows(method: str) -> Iterator[Row]:
    yield Row(f"ss-request-{method}", f"{method}: keep-alive request, {_AT_ONCE} at once", "CPU µs", ratio=1.1)


def _idle_rows(method: str) -> Iterator[Row]:
    yield Row(f"ss-idle-{method}", f"{method}: idle connection", "KiB", limit=20)


def _udp_rows(method: str) -> Iterator[Row]:
    key = f"ss-udp-{method}"
    yield Row(key, f"{method}: packet of {_PACKET} B", "CPU µs", ratio=1.2)
    yield Row(f"{key}-lost", f"{method}: of those, lost", "packets")
    yield Row(f"{key}-flood", f"{method}: packet of garbage, few good ones among them", "CPU µs")
    yield Row(f"{key}-garbage", f"{method}: the same beside a good packet", "x", limit=1)


_USER_ROWS = (
    Row("ss-users-new", f"{_MANY_METHOD}, {_USERS:,} users: new connection from a known address", "CPU µs"),
    Row("ss-users-ratio", f"{_MANY_METHOD}, {_USERS:,} users: the same beside one user's", "x", limit=1.2),
)
_GROUP = "shadowsocks"


def _measure(name: str, rows: tuple[Row, ...], parts: tuple[Sample, ...]) -> Measure:
    return Measure(f"{_GROUP}-{name}", rows, parts, group=_GROUP)


MEASURES = (
    _measure("bulk", _rows(_BULK, _bulk_rows), tuple(_bulk(method, way) for method in _BULK for way in _WAYS)),
    _measure("new", _rows(_SMALL, _new_rows), tuple(map(_new, _SMALL))),
    _measure("keep-alive", _rows(_SMALL, _request_rows), tuple(map(_keep_alive, _SMALL))),
    _measure("idle-memory", _rows(_SMALL, _idle_rows), tuple(map(_idle_memory, _SMALL))),
    _measure("udp", _rows(_SMALL, _udp_rows), tuple(map(_udp, _SMALL))),
    _measure("users", _USER_ROWS, (_users,)),
)
