"""gproxy.dns.servers.remote: what is said about a server, and what isn't."""

from __future__ import annotations

import pytest

from gproxy.base.address import Address
from gproxy.dns import SERVERS
from gproxy.schema.model import read


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
