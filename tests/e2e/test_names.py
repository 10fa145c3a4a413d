"""Names that gproxy itself needs: found as the `dns` table says, and in no other way."""

from __future__ import annotations

import json
import signal
import socket
import sys
import threading
from collections.abc import Iterator

import pytest

from gproxy.base.errors import ProtocolError
from gproxy.wire.dns import types
from gproxy.wire.dns.message import Message, Record, parse
from tests.e2e.proxy import LOG, inbound
from tests.e2e.supervised import Supervised
from tests.support.origin import HELLO, Server
from tests.support.ports import LOOPBACK, free_port
from tests.support.procs import Processes, ProcessFailed, curl, run


class NameServer:
    """Knows that every name below `site.test` is this machine, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind((LOOPBACK, 0))
        self.port: int = self._sock.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            data, client = self._sock.recvfrom(4096)
            if not data:
                return
            try:
                question = parse(data).question
            except ProtocolError:
                continue
            assert question is not None
            self.asked.append((question.name, question.type))
            known = question.name.endswith("site.test")
            records = (
                (Record(question.name, types.A, 300, b"\x7f\0\0\1"),) if question.type == types.A and known else ()
            )
            reply = Message(
                int.from_bytes(data[:2], "big"), True, recursion_available=True, question=question, answer=records,
                rcode=types.NOERROR if known else types.NXDOMAIN,
            )  # fmt: skip
            written = reply.encode()
            end = 12 + len(question.name) + 2
            self._sock.sendto(written[:12] + data[12:end] + written[end:], client)

    def stop(self) -> None:
        self._sock.sendto(b"", (LOOPBACK, self.port))
        self._thread.join(30)
        self._sock.close()


@pytest.fixture
def names() -> Iterator[NameServer]:
    server = NameServer()
    yield server
    server.stop()


def table(names: NameServer, **more: object) -> dict[str, object]:
    return {"servers": [{"type": "udp", "tag": "up", "server": LOOPBACK, "server_port": names.port}], **more}


def fetch(port: int, name: str, site: Server) -> bytes:
    return curl("-x", f"socks5h://{LOOPBACK}:{port}", f"http://{name}:{site.port}/")


def test_targets_are_found_by_the_configured_server(processes: Processes, names: NameServer, site: Server) -> None:
    socks = inbound("socks")
    processes.gproxy({"log": LOG, "inbounds": [socks], "dns": table(names)})
    assert fetch(socks["listen_port"], "www.site.test", site) == HELLO
    assert sorted(names.asked) == [("www.site.test", types.A), ("www.site.test", types.AAAA)]
    assert fetch(socks["listen_port"], "www.site.test", site) == HELLO
    assert len(names.asked) == 3  # that there is no AAAA, no SOA record says for how long
    with pytest.raises(ProcessFailed):
        fetch(socks["listen_port"], "www.other.test", site)


def test_a_proxy_s_own_name_and_rules_about_addresses(processes: Processes, names: NameServer, site: Server) -> None:
    behind, socks = inbound("socks"), inbound("socks")
    processes.gproxy({"log": LOG, "inbounds": [behind], "dns": table(names)})
    proxy = {"type": "socks", "tag": "p", "server": "proxy.site.test", "server_port": behind["listen_port"]}
    processes.gproxy({
        "log": LOG, "inbounds": [socks], "outbounds": [{"type": "block", "tag": "b"}, proxy],
        "dns": table(names, strategy="ipv4_only"),
        "route": {"rules": [
            {"action": "resolve", "server": "up", "rewrite_ttl": 60},
            {"ip_cidr": "127.0.0.0/8", "outbound": "p"},
        ]},
    })  # fmt: skip
    assert fetch(socks["listen_port"], "www.site.test", site) == HELLO
    assert ("proxy.site.test", types.A) in names.asked
    assert ("proxy.site.test", types.AAAA) not in names.asked


def test_the_workers_share_what_they_have_asked_and_a_reload_asks_anew(
    processes: Processes, names: NameServer, site: Server
) -> None:
    socks = inbound("socks", free_port())
    gproxy = Supervised.start(processes, socks, dns=table(names, strategy="ipv4_only"), workers=2)
    for _ in range(20):
        assert fetch(socks["listen_port"], "www.site.test", site) == HELLO
    assert 1 <= len(names.asked) <= 2  # two may ask at the same moment
    before = len(names.asked)
    config = {
        **gproxy.config,
        "dns": table(names, strategy="ipv4_only", rules=[{"domain": "no.site.test", "action": "reject"}]),
    }
    gproxy.path.write_text(json.dumps(config))
    gproxy.process.signal(signal.SIGHUP)
    gproxy.wait_generation(2)
    assert fetch(socks["listen_port"], "www.site.test", site) == HELLO
    assert len(names.asked) > before


def test_a_configuration_that_can_not_find_its_server(processes: Processes) -> None:
    path = processes.folder / "config.json"
    path.write_text('{"dns": {"servers": [{"type": "udp", "server": "dns.test"}]}}')
    done = run(sys.executable, "-m", "gproxy", "check", "-c", str(path))
    assert done.returncode == 3
    assert b"`domain_resolver` is missing: `dns.test` is a name" in done.stderr
