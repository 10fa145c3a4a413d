from __future__ import annotations

import logging
import socket
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from gproxy.app.layers import system_dialer
from gproxy.base.address import Address, parse_ip
from gproxy.base.clock import now
from gproxy.base.errors import DialError
from gproxy.rt.group import Group
from gproxy.rt.sync import Event
from gproxy.schema.acme import Exec
from gproxy.schema.fields import Duration
from gproxy.schema.groups import Dial
from gproxy.service.acme.client import AcmeError
from gproxy.service.acme.dns import prover as module
from gproxy.service.acme.dns.prover import InDns, looker
from gproxy.service.acme.jws import b64
from tests.service.acme.dns.test_txt import answer, record

pytestmark = pytest.mark.usefixtures("no_leaks")

VALUE = b64(sha256(b"token.print").digest())
SERVERS = [Address(parse_ip("192.0.2.1"), 53), Address(parse_ip("192.0.2.2"), 5353)]


class Zone:
    """Who sets records, and name servers that know them, but for the first `late` questions to each."""

    def __init__(self, late: int = 0, silent: Sequence[Address] = ()) -> None:
        self.heard: list[str] = []
        self.asked: list[tuple[Address, str]] = []
        self._late = dict.fromkeys(SERVERS, late)
        self._silent = silent
        self.refuses = False

    def present(self, record: str, value: str) -> None:
        self.heard.append(f"present {record} {value}")

    def cleanup(self, record: str, value: str) -> None:
        self.heard.append(f"cleanup {record} {value}")
        if self.refuses:
            raise AcmeError("no")

    def look(self, server: Address, name: str) -> list[bytes]:
        self.asked.append((server, name))
        if server in self._silent:
            raise DialError("no answer")
        self._late[server] -= 1
        return [b"another", VALUE.encode()] if self._late[server] < 0 else [b"another"]


@pytest.fixture(autouse=True)
def passing(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    slept: list[float] = []
    monkeypatch.setattr(module, "sleep", slept.append)
    monkeypatch.setattr(module, "now", lambda: sum(slept))
    return slept


def prover(zone: Zone, **options: Any) -> InDns:
    given = {"resolvers": ("192.0.2.1", "192.0.2.2:5353"), **options}
    return InDns(Exec(provider="exec", command=("/x",), **given), zone, zone.look, logging.getLogger("test"))


def test_set_seen_taken_back(passing: list[float]) -> None:
    zone = Zone(late=2)
    dns = prover(zone, propagation_delay=Duration(7))
    dns.show("site.test", "token", "token.print")
    dns.wait()
    dns.hide()
    dns.hide()
    record = "_acme-challenge.site.test"
    assert zone.heard == [f"present {record} {VALUE}", f"cleanup {record} {VALUE}"]
    assert passing == [7.0, 2.0, 2.0]
    assert set(zone.asked) == {(server, record) for server in SERVERS}, "all of them"


def test_another_record() -> None:
    zone = Zone()
    dns = prover(zone, override_domain="proof.elsewhere.test.")
    dns.show("site.test", "token", "token.print")
    dns.wait()
    assert zone.asked[0][1] == "proof.elsewhere.test"


def test_it_is_not_seen(passing: list[float]) -> None:
    zone = Zone(silent=SERVERS[1:])
    dns = prover(zone, propagation_timeout=Duration(10))
    dns.show("site.test", "token", "token.print")
    with pytest.raises(AcmeError, match=r"_acme-challenge.site.test can't be seen after 10 s"):
        dns.wait()
    assert sum(passing) == 10


def test_nobody_is_asked() -> None:
    zone = Zone()
    dns = prover(zone, propagation_timeout=Duration(0))
    dns.show("site.test", "token", "token.print")
    dns.wait()
    assert zone.asked == []


def test_the_system_s_name_servers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One of them is enough: the system asks the others only when the first is silent."""
    conf = tmp_path / "resolv.conf"
    monkeypatch.setattr(module, "_RESOLV_CONF", conf)
    zone = Zone(silent=SERVERS[1:])
    dns = prover(zone, resolvers=())
    dns.show("site.test", "token", "token.print")
    with pytest.raises(AcmeError):
        dns.wait()
    conf.write_text("# x\nsearch test\nnameserver 192.0.2.9x\nnameserver\nnameserver 192.0.2.1\n")
    dns.wait()
    assert zone.asked == [(SERVERS[0], "_acme-challenge.site.test")]


def test_what_can_t_be_taken_back(caplog: pytest.LogCaptureFixture) -> None:
    zone = Zone()
    zone.refuses = True
    dns = prover(zone)
    dns.show("site.test", "token", "token.print")
    dns.hide()
    assert caplog.messages == ["the record _acme-challenge.site.test can't be taken back: no"]


def test_in_a_hurry(passing: list[float]) -> None:
    """What one record takes is missing for the others."""
    zone = Zone()
    dns = prover(zone)
    for _ in range(3):
        dns.show("site.test", "token", "token.print")

    def cleanup(record: str, value: str) -> None:
        passing.append(1.5)
        Event().wait()

    zone.cleanup = cleanup  # type: ignore[method-assign]
    began = now()
    dns.hide(hurry=True)
    assert now() - began < 2.7
    assert len(passing) == 3


class Server:
    """A name server on loopback, which first sends what others might."""

    def __init__(self, *before: bytes) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(("127.0.0.1", 0))
        self._before = before
        self.address = Address(parse_ip("127.0.0.1"), self._sock.getsockname()[1])

    def serve(self) -> None:
        question, client = self._sock.recvfrom(512)
        number = int.from_bytes(question[:2], "big")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as elsewhere:
            elsewhere.sendto(answer(record(16, b"\x04them"), number=number), client)
        for each in (*self._before, answer(record(16, b"\x02me"), number=number ^ 1),
                     answer(record(16, b"\x03you"), number=number)):  # fmt: skip
            self._sock.sendto(each, client)

    def close(self) -> None:
        self._sock.close()


def test_asking_a_name_server() -> None:
    server = Server(b"", b"x" * 20)
    with Group("server") as group:
        group.spawn(server.serve)
        assert looker(system_dialer(Dial()))(server.address, "site.test") == [b"you"]
    server.close()


def test_a_name_server_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ANSWER", 0.05)
    server = Server()
    with pytest.raises(DialError, match="no answer in time"):
        looker(system_dialer(Dial()))(server.address, "site.test")
    server.close()
