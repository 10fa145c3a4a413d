"""gproxy.dns.servers.fakeip."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from gproxy.dns import SERVERS
from gproxy.schema.model import read
from gproxy.wire.dns import types
from gproxy.wire.dns.message import parse
from tests.dns.servers.upstream import ask, wiring

ROW = SERVERS.row("fakeip")
BOTH = {"inet4_range": "198.18.0.0/15", "inet6_range": "fc00::/18"}


def problems_of(tree):
    problems = []
    read(ROW.options, {"type": "fakeip", **tree}, (), problems)
    return [str(each.message) for each in problems]


def server(**tree):
    return ROW.build(read(ROW.options, {"type": "fakeip", **tree}, (), []), wiring())


def answer(server, name, kind):
    message = parse(server.exchange(ask(name, kind)))
    assert message.question == (name, kind, 1)
    return message.rcode, [(each.data, each.ttl) for each in message.answer]


def test_addresses_that_stand_for_a_name():
    fakes = server(**BOTH)
    assert answer(fakes, "site.test", types.A) == (0, [(ip_address("198.18.0.2").packed, 600)])
    assert answer(fakes, "site.test", types.AAAA) == (0, [(ip_address("fc00::2").packed, 600)])
    assert fakes.addresses.name_of(ip_address("fc00::2")) == "site.test"
    assert not fakes.knows("site.test")
    assert (fakes.cacheable, fakes.waits) == (False, False)


@pytest.mark.parametrize("kind", [types.HTTPS, types.TXT, types.PTR])
def test_of_all_else_there_is_nothing(kind):
    assert answer(server(**BOTH), "site.test", kind) == (0, [])


def test_of_another_family_there_is_nothing():
    assert answer(server(inet4_range="198.18.0.0/15"), "site.test", types.AAAA) == (0, [])


def test_the_root_has_no_address():
    assert answer(server(**BOTH), "", types.A) == (0, [])


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({}, "expected `inet4_range`"),
        ({"inet4_range": "fc00::/18"}, "expected IPv4 addresses"),
        ({"inet6_range": "198.18.0.0/15"}, "expected IPv6 addresses"),
        ({"inet4_range": "198.18.0.0/30"}, "expected 16 addresses at least"),
    ],
)
def test_what_is_no_range(tree, said):
    assert any(said in each for each in problems_of(tree))


def test_good_ones():
    assert problems_of(BOTH) == []
