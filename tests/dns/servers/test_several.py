"""gproxy.dns.servers.several: one server after the other, and one form of a name after the other."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from gproxy.base.errors import DialError
from gproxy.dns.servers import several
from gproxy.dns.servers.resolvconf import Resolv
from gproxy.dns.servers.several import Several
from gproxy.net.udp import UdpConn, bind_udp
from gproxy.rt.group import Group
from gproxy.wire.dns import types
from gproxy.wire.dns.message import parse
from tests.dns.servers.upstream import DIALER, LOOPBACK, ask, expected, framed, reply, served
from tests.support.pipe import pipe

pytestmark = pytest.mark.usefixtures("no_leaks")

FIRST, SECOND = ip_address("127.0.0.11"), ip_address("127.0.0.12")


class World:
    """Servers at addresses of loopback, at one port."""

    def __init__(self, monkeypatch, answers):
        self.asked = []
        self.group = Group("servers")
        self.several = Several(DIALER, DIALER.lookup, "up")
        self.conns = []
        port = 0
        for ip, answer in answers.items():
            conn = UdpConn(bind_udp(ip, port))
            port = conn.bound().port
            self.conns.append(conn)
            self.group.spawn(self.serve, ip, conn, answer)
        monkeypatch.setattr(several, "PORT", port)

    def serve(self, ip, conn, answer):
        while True:
            data, source = conn.recv_from()
            message = parse(bytes(data))
            self.asked.append((ip, message.question.name))
            if (said := answer(bytes(data), message.question.name)) is not None:
                conn.send_to(said, source)

    def exchange(self, name, kind=types.A, **says):
        return parse(self.several.exchange(ask(name, kind), Resolv(servers=(FIRST, SECOND), timeout=1, **says)))

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.several.close()
        for conn in self.conns:
            conn.close()
        self.group.kill()


def good(query, name):
    return reply(query)


def failing(rcode):
    return lambda query, name: reply(query, rcode=rcode)


def test_the_first_one_is_asked(monkeypatch):
    with World(monkeypatch, {FIRST: good, SECOND: good}) as world:
        assert world.exchange("site.test") == expected(ask("site.test"))
        assert world.asked == [(FIRST, "site.test")]


@pytest.mark.parametrize("rcode", [types.SERVFAIL, types.REFUSED, types.NOTIMP])
def test_the_next_one_after_a_failure(monkeypatch, rcode):
    with World(monkeypatch, {FIRST: failing(rcode), SECOND: good}) as world:
        assert world.exchange("site.test") == expected(ask("site.test"))
        assert [ip for ip, _ in world.asked] == [FIRST, SECOND]


def test_what_fails_everywhere_is_told(monkeypatch):
    with World(monkeypatch, {FIRST: failing(types.SERVFAIL), SECOND: failing(types.REFUSED)}) as world:
        assert world.exchange("site.test", attempts=2).rcode == types.REFUSED
        assert [ip for ip, _ in world.asked] == [FIRST, SECOND] * 2


def test_one_that_says_nothing(monkeypatch):
    with World(monkeypatch, {FIRST: lambda query, name: None, SECOND: good}) as world:
        assert world.exchange("site.test") == expected(ask("site.test"))
        world.asked.clear()


def test_nobody_answers(monkeypatch):
    with World(monkeypatch, {FIRST: lambda query, name: None}) as world:
        with pytest.raises(DialError, match=r"DNS server up: ") as caught:
            world.exchange("site.test", attempts=1)
        assert caught.value.reason == "dns"


def test_taking_turns(monkeypatch):
    with World(monkeypatch, {FIRST: good, SECOND: good}) as world:
        for _ in range(4):
            world.exchange("site.test", rotate=True)
        assert {ip for ip, _ in world.asked} == {FIRST, SECOND}
        assert [ip for ip, _ in world.asked].count(FIRST) == 2


def test_forms_of_a_name(monkeypatch):
    def only_there(query, name):
        return reply(query) if name == "host.two.test" else reply(query, rcode=types.NXDOMAIN)

    with World(monkeypatch, {FIRST: only_there}) as world:
        found = world.exchange("host", search=("one.test", "two.test"))
        assert found == expected(ask("host")), "the answer is to what was asked"
        assert [name for _, name in world.asked] == ["host.one.test", "host.two.test"]


def test_no_form_of_it(monkeypatch):
    with World(monkeypatch, {FIRST: failing(types.NXDOMAIN)}) as world:
        found = world.exchange("a.host", search=("one.test", "x" * 63 + "." + ".".join(["y" * 62] * 3)))
        assert (found.rcode, found.question) == (types.NXDOMAIN, ("a.host", types.A, 1))
        assert [name for _, name in world.asked] == ["a.host", "a.host.one.test"], "one is too long to be asked for"


def test_servers_that_are_no_more_are_forgotten(monkeypatch):
    with World(monkeypatch, {FIRST: good, SECOND: good}) as world:
        for servers in ((FIRST,), (SECOND,), (FIRST,)):
            world.several.exchange(ask("site.test"), Resolv(servers=servers))
            assert list(world.several._by_datagram) == list(servers)
        assert [ip for ip, _ in world.asked] == [FIRST, SECOND, FIRST]


def test_by_tcp():
    with Group("ends") as group:

        class Via:
            def dial(self, target, session):
                assert (target.host, target.port) == (LOOPBACK, 53)
                assert session.target == target
                near, far = pipe()
                group.spawn(served, far, lambda query: framed(reply(query)))
                return near

        one = ask("site.test")
        asked = Several(Via(), DIALER.lookup, "up")
        assert parse(asked.exchange(one, Resolv(servers=(LOOPBACK,), tcp=True))) == expected(one)
        asked.close()
        group.join(30)
