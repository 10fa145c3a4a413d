"""gproxy.dns.servers.dhcp: what the network names; on loopback, at other ports (tests/interop has the real one)."""

from __future__ import annotations

import logging
import os
import socket
from ipaddress import ip_address

import pytest

from gproxy.base.errors import DialError
from gproxy.dns import SERVERS
from gproxy.dns.servers import dhcp
from gproxy.net.udp import UdpConn, bind_udp
from gproxy.rt.group import Group
from gproxy.schema.model import read
from gproxy.wire.dhcp import Told
from tests.dns.servers.upstream import LOOPBACK, ask, wiring

pytestmark = pytest.mark.usefixtures("no_leaks")

ROW = SERVERS.row("dhcp")
FIRST, SECOND = ip_address("192.0.2.53"), ip_address("192.0.2.54")


def offer(question, options=b"\x35\x01\x02\x06\x04\xc0\x00\x02\x35\xff"):
    return b"\x02\x01\x06\x00" + question[4:8] + bytes(228) + b"\x63\x82\x53\x63" + options


class Network:
    """A server at a port of loopback, which answers what is broadcast."""

    def __init__(self, monkeypatch, *answers):
        self.answers = answers
        self.asked = []
        self.conn = UdpConn(bind_udp(LOOPBACK, 0))
        self.group = Group("dhcp")
        monkeypatch.setattr(dhcp, "_EVERYBODY", ("127.0.0.1", self.conn.bound().port))
        monkeypatch.setattr(dhcp, "_open", self.open)
        monkeypatch.setattr(dhcp, "ethernet_address", lambda interface: bytes.fromhex("02005e001122"))
        monkeypatch.setattr(dhcp, "WAIT", 0.3)
        monkeypatch.setattr(dhcp, "_AGAIN", 0.05)

    def open(self, interface):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        return sock

    def serve(self):
        while True:
            data, source = self.conn.recv_from()
            self.asked.append(bytes(data))
            for answer in self.answers:
                if (said := answer(bytes(data))) is not None:
                    self.conn.send_to(said, source)

    def __enter__(self):
        self.group.spawn(self.serve)
        return self

    def __exit__(self, *what):
        self.conn.close()
        self.group.kill()


def test_an_offer(monkeypatch):
    with Network(monkeypatch, offer) as network:
        assert dhcp.discover("eth0").servers == (FIRST,)
    assert network.asked[0][236:243] == b"\x63\x82\x53\x63\x35\x01\x01"


@pytest.mark.parametrize(
    "answer",
    [
        lambda question: b"",
        lambda question: b"garbage" * 50,
        lambda question: offer(b"\0\0\0\0" + bytes(4)),  # of another question
        lambda question: offer(question, b"\x35\x01\x05\x06\x04\xc0\x00\x02\x35\xff"),  # no offer
        lambda question: offer(question, b"\x35\x01\x02\xff"),  # that names nobody
    ],
)
def test_other_answers_are_passed_over(monkeypatch, answer):
    with Network(monkeypatch, answer, offer):
        assert dhcp.discover("eth0").servers == (FIRST,)


def test_nobody_answers(monkeypatch):
    with Network(monkeypatch) as network:
        with pytest.raises(DialError, match="no DHCP server answers on eth0") as caught:
            dhcp.discover("eth0")
    assert caught.value.reason == "dns"
    assert len(network.asked) >= 2, "it is asked again"
    assert len(set(network.asked)) == 1


class Saying:
    """In the place of `discover`: what the network says, time after time."""

    def __init__(self, monkeypatch, *said):
        self.said = list(said)
        self.asked = []
        monkeypatch.setattr(dhcp, "discover", self.discover)

    def discover(self, interface):
        self.asked.append(interface)
        said = self.said.pop(0)
        if isinstance(said, Exception):
            raise said
        return said


def told(*servers, lease=600, search=("lan.test",)):
    return Told(1, 2, servers, search, lease)


def build(monkeypatch, **tree):
    problems = []
    options = read(ROW.options, {"type": "dhcp", "interface": "eth0", **tree}, (), problems)
    assert not problems
    server = ROW.build(options, wiring())
    said = []
    monkeypatch.setattr(server._several, "exchange", lambda ask, says: said.append(says) or b"answer")
    return server, said


def test_it_asks_those_that_the_network_names(monkeypatch, held_clock):
    network = Saying(monkeypatch, told(FIRST), told(SECOND))
    server, said = build(monkeypatch)
    assert not server.searches()
    for _ in range(3):
        assert server.exchange(ask("site.test")) == b"answer"
    assert network.asked == ["eth0"]
    assert server.searches()
    assert (said[0].servers, said[0].search) == ((FIRST,), ("lan.test",))
    assert said[1] is said[0]
    held_clock.advance(599)
    server.exchange(ask("site.test"))
    assert len(network.asked) == 1
    held_clock.advance(2)
    server.exchange(ask("site.test"))
    assert said[-1].servers == (SECOND,)
    server.close()


@pytest.mark.parametrize(("lease", "after"), [(0, 3600), (5, 60), (100000, 3600)])
def test_how_long_that_is_good_for(monkeypatch, held_clock, lease, after):
    network = Saying(monkeypatch, told(FIRST, lease=lease), told(SECOND))
    server, _ = build(monkeypatch)
    server.exchange(ask("site.test"))
    held_clock.advance(after - 1)
    server.exchange(ask("site.test"))
    assert len(network.asked) == 1
    held_clock.advance(2)
    server.exchange(ask("site.test"))
    assert len(network.asked) == 2
    server.close()


def test_those_of_before_serve_on(monkeypatch, held_clock, caplog):
    network = Saying(monkeypatch, told(FIRST), DialError("no DHCP server answers", reason="dns"), told(SECOND))
    server, said = build(monkeypatch)
    server.exchange(ask("site.test"))
    held_clock.advance(601)
    with caplog.at_level(logging.WARNING):
        server.exchange(ask("site.test"))
    assert said[-1].servers == (FIRST,)
    assert "asking those of before" in caplog.text
    held_clock.advance(61)
    server.exchange(ask("site.test"))
    assert said[-1].servers == (SECOND,)
    assert len(network.asked) == 3
    server.close()


def test_nobody_to_ask(monkeypatch):
    Saying(monkeypatch, DialError("no DHCP server answers on eth0", reason="dns"))
    server, _ = build(monkeypatch)
    with pytest.raises(DialError, match="DNS server up: no DHCP server answers on eth0") as caught:
        server.exchange(ask("site.test"))
    assert caught.value.reason == "dns"
    server.close()


def test_the_interface_of_the_default_route(monkeypatch):
    network = Saying(monkeypatch, told(FIRST), told(SECOND))
    server, said = build(monkeypatch, interface="")
    where = ["eth0"]
    monkeypatch.setattr(server, "_default", lambda: where[0])
    server.exchange(ask("site.test"))
    where[0] = "wlan0"
    server.exchange(ask("site.test"))
    assert network.asked == ["eth0", "wlan0"]
    assert said[-1].servers == (SECOND,)
    server.close()


def test_interfaces_that_are_none():
    for name in ("none0", "lo", "../../etc"):
        with pytest.raises(DialError, match="is no Ethernet interface"):
            dhcp.discover(name)


def test_a_port_that_is_not_ours(monkeypatch):
    class Refusing:
        def __init__(self, *what):
            self.fd = os.open("/dev/null", os.O_RDONLY)

        def setsockopt(self, *what):
            pass

        def bind(self, name):
            raise PermissionError(13, "Permission denied")

        def close(self):
            os.close(self.fd)

    monkeypatch.setattr(dhcp, "socket", Refusing)
    monkeypatch.setattr(dhcp, "ethernet_address", lambda interface: bytes(6))
    with pytest.raises(DialError, match="DHCP: needs UDP port 68: CAP_NET_BIND_SERVICE"):
        dhcp.discover("eth0")
