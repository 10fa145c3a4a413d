"""Name servers: gproxy beside dnsmasq and sing-box, each of which asks one Unbound.

gproxy answers by its `dns` inbound and, as sing-box does, by a `direct` one whose questions a rule takes. Both read the
same file, but for the first of these inbounds, and ask by UDP, TLS or HTTPS.
"""

from __future__ import annotations

from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from tests.bench import names, sandbox
from tests.bench.bench import Bench
from tests.bench.names import Upstream, query
from tests.bench.peers import Running, run_arguments
from tests.bench.sampling import MICRO, MILLI, Figures, Measure, Row, Sample, cpu_of
from tests.bench.worker import WorkFailed

_SERVERS = ("gproxy", "sing-box", "dnsmasq")
_DIFFERENT = 100
_CLIENTS = 8
_WINDOW = 16
_AT_ONCE = 4  # of each client, for questions that go on
_SHARE = 0.5  # of the datagrams of a plain relay, for questions that go on: each makes two more
_LOST = 0.01  # of the questions; more is a failure
_GROUP = "dns"
_FIRST = count(1_000_000, 1_000_000)  # each sample has names of its own


class Server(Running):
    """One running name server. `kind`: how it asks the upstream. `ports`: its doors by their labels."""

    def __init__(self, name: str, command: list[str], kind: str, upstream: Upstream, home: Path) -> None:
        home.mkdir(parents=True)
        own, hijacked = sandbox.free_ports(2)
        self.ports = {"dns": own, "hijack": hijacked}
        if name == "dnsmasq":
            self.ports = {"dns": own, "hijack": own}
            arguments = _dnsmasq(own, upstream)
        else:
            if name == "sing-box":
                self.ports["dns"] = hijacked
            arguments = run_arguments(home, _options(name, home, own, hijacked, kind, upstream))
        super().__init__([*command, *arguments], home, self._probe)

    def _probe(self) -> None:
        for port in set(self.ports.values()):
            try:
                names.ask(port, query(f"probe.{names.ZONE}", 7))
            except TimeoutError as error:
                raise ConnectionError(str(error)) from error


def _dnsmasq(port: int, upstream: Upstream) -> list[str]:
    return [
        "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root", "--pid-file",
        "--listen-address=127.0.0.1", "--bind-interfaces", f"--port={port}", f"--server=127.0.0.1#{upstream.port}",
        "--cache-size=10000", "--dns-forward-max=10000", "--min-port=10000",
    ]  # fmt: skip


def _options(name: str, home: Path, own: int, hijacked: int, kind: str, upstream: Upstream) -> dict[str, Any]:
    server: dict[str, Any] = {"type": kind, "tag": "up", "server": "127.0.0.1"}
    server["server_port"] = {"udp": upstream.port, "tls": upstream.tls, "https": upstream.https}[kind]
    if kind != "udp":
        server["tls"] = names.tls_options(upstream)
    inbounds: list[dict[str, Any]] = [
        {
            "type": "direct", "tag": "hijacked", "network": "udp", "listen": "127.0.0.1", "listen_port": hijacked,
            "override_address": "192.0.2.53", "override_port": 53,
        }
    ]  # fmt: skip
    more: dict[str, Any] = {}
    if name == "gproxy":
        inbounds.append({"type": "dns", "tag": "own", "network": "udp", "listen": "127.0.0.1", "listen_port": own})
        more = {"runtime": {"workers": 0, "control": str(home / "control.sock")}}
    return more | {
        "log": {"level": "warn", "output": str(home / "log")},
        "dns": {"servers": [server]},
        "inbounds": inbounds,
        "outbounds": [{"type": "direct", "tag": "direct"}],
        "route": {"rules": [{"inbound": "hijacked", "action": "hijack-dns"}]},
    }


def _upstream(bench: Bench) -> Upstream:
    return bench.kept("unbound", lambda: Upstream(bench.home("unbound")))


def _server(bench: Bench, name: str, kind: str) -> Server:
    upstream = _upstream(bench)
    return bench.kept(
        (_GROUP, name, kind), lambda: Server(name, bench.command(name), kind, upstream, bench.home(f"{name}-{kind}"))
    )


def _cached(label: str) -> Sample:
    def sample(bench: Bench, name: str) -> Figures:
        if name not in _SERVERS:
            return {}
        server = _server(bench, name, "udp")
        asked = partial(bench.client.call, names.many, server.ports[label], 0, _DIFFERENT)
        asked(2 * _DIFFERENT * _CLIENTS, _CLIENTS, _AT_ONCE)  # from here on all are known
        questions = bench.work.datagrams * 2
        with cpu_of(server) as spent:
            done = asked(questions, _CLIENTS, _WINDOW)
        lost = max(0, done.sent - done.received - _CLIENTS * _WINDOW)
        if lost > questions * _LOST:
            raise WorkFailed(f"{lost} of {done.sent} questions were not answered")
        return {f"dns-cached-{label}": spent.seconds / done.received * MICRO}

    return sample


def _forwarded(kind: str) -> Sample:
    """Questions for names that nobody has asked for."""

    def sample(bench: Bench, name: str) -> Figures:
        if name not in _SERVERS or (name == "dnsmasq" and kind != "udp"):
            return {}
        server = _server(bench, name, kind)
        questions = int(bench.work.datagrams * _SHARE)
        bench.client.call(names.each_once, server.ports["dns"], next(_FIRST), 200, 1, 1)
        with cpu_of(server) as spent:
            done = bench.client.call(names.each_once, server.ports["dns"], next(_FIRST), questions, _CLIENTS, _AT_ONCE)
        lost = max(0, done.sent - done.received - _CLIENTS * _AT_ONCE)
        if lost > questions * _LOST:
            raise WorkFailed(f"{lost} of {done.sent} questions were not answered")
        return {f"dns-{kind}": spent.seconds / done.received * MICRO}

    return sample


def _added(bench: Bench, name: str) -> Figures:
    """What a server adds to the time of the one that it asks: both are asked in turns, each time for a new name."""
    if name not in _SERVERS:
        return {}
    server, upstream = _server(bench, name, "udp"), _upstream(bench)
    questions = [names.names(next(_FIRST), bench.work.first_bytes) for _ in range(2)]
    asked = bench.client.call(names.one_by_one, [server.ports["dns"], upstream.port], questions)
    through, straight = (sorted(each) for each in asked)
    return {
        f"dns-added-p{part}": (through[len(through) * part // 100] - straight[len(straight) * part // 100]) * MILLI
        for part in (50, 99)
    }


_CACHED_ROWS = (
    Row("dns-cached-dns", "cached answer by UDP; gproxy by inbound `dns`", "CPU µs", 1.0, beside=(("dnsmasq", 1.5),)),
    Row("dns-cached-hijack", "cached answer by UDP; gproxy by `direct` and `hijack-dns`", "CPU µs"),
)
_UPSTREAM_ROWS = (
    Row("dns-udp", "a name asked for the first time, upstream by UDP", "CPU µs"),
    Row("dns-tls", "the same, upstream by TLS", "CPU µs", 1.0),
    Row("dns-https", "the same, upstream by HTTPS", "CPU µs", 1.5),
)
_ADDED_ROWS = (
    Row("dns-added-p50", "time added to the upstream's, p50", "ms", limit=1),
    Row("dns-added-p99", "time added to the upstream's, p99", "ms"),
)

MEASURES = (
    Measure("dns-cached", _CACHED_ROWS, (_cached("dns"), _cached("hijack")), group=_GROUP),
    Measure("dns-upstream", _UPSTREAM_ROWS, tuple(map(_forwarded, ("udp", "tls", "https"))), group=_GROUP),
    Measure("dns-added", _ADDED_ROWS, (_added,), group=_GROUP),
)
