"""gproxy.dns.servers.remote: what is said about a server, and what isn't."""

from __future__ import annotations

import threading

import pytest

from gproxy.base.address import Address
from gproxy.dns import SERVERS
from gproxy.rt.patch import hub_exists
from gproxy.schema.model import read
from tests.dns.servers.upstream import wiring


def options(kind, **tree):
    problems = []
    found = read(SERVERS.row(kind).options, {"type": kind, **tree}, (), problems)
    assert not problems, problems
    return found


@pytest.mark.parametrize(("kind", "port"), [("udp", 53), ("tcp", 53), ("tls", 853), ("https", 443)])
def test_ports(kind, port):
    assert options(kind, server="dns.test").address == Address("dns.test", port)
    assert options(kind, server="dns.test", server_port=0).server_port == port
    assert options(kind, server="dns.test", server_port=5353).server_port == 5353


@pytest.mark.parametrize("kind", ["tls", "https"])
@pytest.mark.parametrize("tls", [{}, {"tls": {}}, {"tls": {"enabled": False}}])
def test_tls_is_always_on(kind, tls):
    assert options(kind, server="dns.test", **tls).tls.enabled


def test_https_agrees_on_http():
    assert options("https", server="dns.test").tls.alpn == ("h2", "http/1.1")
    assert options("https", server="dns.test", tls={"alpn": "http/1.1"}).tls.alpn == ("http/1.1",)
    assert options("tls", server="dns.test").tls.alpn == ()


@pytest.mark.parametrize("kind", ["udp", "tcp", "tls", "https"])
@pytest.mark.parametrize("tree", [{}, {"server": ""}, {"server": "a b"}, {"server": "a.test", "nonsense": 1}])
def test_what_is_wrong(kind, tree):
    problems = []
    assert read(SERVERS.row(kind).options, {"type": kind, **tree}, (), problems) is None
    assert len(problems) == 1


@pytest.mark.parametrize("kind", [kind for kind in SERVERS.names() if kind != "group"])
def test_building_one_begins_nothing(kind):
    """A template builds what its workers use, and never has a hub."""
    found = []
    problems = []
    tree = {"type": kind, **({"server": "dns.test"} if kind in ("udp", "tcp", "tls", "https") else {})}
    tree |= {"inet4_range": "198.18.0.0/15"} if kind == "fakeip" else {}
    made = read(SERVERS.row(kind).options, tree, (), problems)
    assert not problems, problems

    def build():
        server = SERVERS.row(kind).build(made, wiring())
        found.append(hub_exists())
        server.close()

    thread = threading.Thread(target=build)
    thread.start()
    thread.join()
    assert found == [False]
