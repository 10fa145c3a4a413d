"""gproxy.dns.servers.local: hosts files, neighbours, the system's resolver, and whom that asks."""

from __future__ import annotations

import socket
from ipaddress import ip_address

import pytest

from gproxy.base.errors import DialError
from gproxy.dns import SERVERS
from gproxy.dns.iface import Searching
from gproxy.dns.servers import local
from gproxy.dns.servers.answers import with_addresses
from gproxy.dns.servers.hostsfile import HostsFile
from gproxy.dns.servers.resolvconf import Resolv, ResolvConf
from gproxy.schema.model import read
from gproxy.wire.dns import types
from gproxy.wire.dns.message import parse
from gproxy.wire.dns.name import encode_name
from tests.dns.servers.upstream import ask, wiring

pytestmark = pytest.mark.usefixtures("no_leaks")

ROW = SERVERS.row("local")
FOUR, SIX, HOST, NEIGHBOUR = (ip_address(text) for text in ("192.0.2.1", "2001:db8::1", "192.0.2.9", "192.0.2.5"))


def options(**tree):
    problems = []
    found = read(ROW.options, {"type": "local", **tree}, (), problems)
    return found, [each.path for each in problems]


class World:
    """A server whose ways are all played by the test."""

    def __init__(self, monkeypatch, tmp_path, **tree):
        self.log = []
        found, problems = options(**tree)
        assert not problems
        self.server = ROW.build(found, wiring())
        path = tmp_path / "hosts"
        path.write_text(f"{HOST} host.test\n")
        self.server._hosts = HostsFile(str(path))
        self.neighbours = {"there.local"}
        self.system = {(socket.AF_INET, b"site.test"): [FOUR, FOUR], (socket.AF_INET6, b"site.test"): [SIX]}
        self.error = socket.EAI_NONAME
        monkeypatch.setattr(self.server._several, "exchange", self.ask_servers)
        monkeypatch.setattr(self.server._multicast, "exchange", self.ask_neighbours)
        monkeypatch.setattr(local, "getaddrinfo", self.ask_system)

    def ask_servers(self, asked, says):
        assert isinstance(says, Resolv)
        self.log.append("servers")
        return with_addresses(asked, (FOUR, SIX))

    def ask_neighbours(self, asked):
        self.log.append("neighbours")
        if asked.name not in self.neighbours:
            raise DialError("nobody", reason="dns")
        return with_addresses(asked, (NEIGHBOUR,))

    def ask_system(self, name, service, family, kind):
        self.log.append("system")
        if (family, name) not in self.system:
            raise socket.gaierror(self.error, "words")
        return [(family, kind, 6, "", (str(ip), 0)) for ip in self.system[family, name]]

    def exchange(self, name, kind=types.A):
        message = parse(self.server.exchange(ask(name, kind)))
        assert message.question == (name, kind, 1)
        self.server.close()
        return message


@pytest.fixture
def world(monkeypatch, tmp_path):
    return World(monkeypatch, tmp_path)


def test_a_hosts_file_counts_first(world):
    assert [each.data for each in world.exchange("host.test").answer] == [HOST.packed]
    assert world.exchange("host.test", types.AAAA).answer == ()
    reverse = world.exchange("9.2.0.192.in-addr.arpa", types.PTR)
    assert [each.data for each in reverse.answer] == [encode_name("host.test")]
    assert world.log == []


def test_the_system_knows_addresses(world):
    message = world.exchange("site.test")
    assert [(each.data, each.ttl) for each in message.answer] == [(FOUR.packed, 30)], "each once"
    assert [each.data for each in world.exchange("site.test", types.AAAA).answer] == [SIX.packed]
    assert world.log == ["system", "system"]


@pytest.mark.parametrize("kind", [types.TXT, types.PTR, types.HTTPS])
def test_everything_else_is_asked_of_servers(world, kind):
    world.exchange("7.2.0.192.in-addr.arpa", kind)
    assert world.log == ["servers"]


@pytest.mark.parametrize("name", ["", "a\\.b.test"])
def test_so_are_names_that_are_none_to_the_system(world, name):
    world.exchange(name)
    assert world.log == ["servers"]


@pytest.mark.parametrize(
    ("error", "rcode"), [(socket.EAI_NONAME, types.NXDOMAIN), (-5, types.NOERROR), (-9, types.NOERROR)]
)
def test_names_without_an_address(world, error, rcode):
    world.error = error
    message = world.exchange("none.test")
    assert (message.rcode, message.answer) == (rcode, ())


def test_the_system_knows_nothing_now(world):
    world.error = socket.EAI_AGAIN
    with pytest.raises(DialError, match=r"DNS server up: none\.test: words") as caught:
        world.exchange("none.test")
    assert caught.value.reason == "dns"


def test_neighbours(world):
    assert [each.data for each in world.exchange("there.local").answer] == [NEIGHBOUR.packed]
    assert world.log == ["neighbours"]
    assert world.exchange("away.local").rcode == types.NXDOMAIN
    assert world.log == ["neighbours", "neighbours", "system"], "some networks have a server for them"


@pytest.mark.parametrize("tree", [{"prefer_go": True}, {"detour": "out"}, {"routing_mark": 5}])
def test_the_system_is_not_asked_what_it_could_not_do(monkeypatch, tmp_path, tree):
    world = World(monkeypatch, tmp_path, **tree)
    world.exchange("site.test")
    assert world.log == ["servers"]


def test_which_names_it_knows(world):
    assert world.server.knows("host.test")
    assert world.server.knows("a.local")
    assert not world.server.knows("site.test")
    assert world.server.cacheable
    world.server.close()


def test_search_domains(world, tmp_path):
    path = tmp_path / "resolv.conf"
    for text, searches in (("nameserver 192.0.2.1\n", False), ("search lan.test\n", True)):
        path.write_text(text)
        world.server._resolv = ResolvConf(str(path))
        assert isinstance(world.server, Searching)
        assert world.server.searches() is searches
    world.server.close()


def test_what_is_refused():
    assert options(neighbor_domain=[".lan"])[1] == [("neighbor_domain",)]
    assert options(server="x")[1] == [("server",)]


def test_the_real_system():
    server = ROW.build(options()[0], wiring())
    server._hosts = HostsFile("/dev/null")
    message = parse(server.exchange(ask("localhost")))
    assert [each.data for each in message.answer] == [ip_address("127.0.0.1").packed]
    server.close()
