"""gproxy.dns.servers.answers: answers of our own making."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from gproxy.dns.servers import answers
from gproxy.wire.dns import types
from gproxy.wire.dns.message import parse
from gproxy.wire.dns.name import encode_name
from tests.dns.servers.upstream import ask

FOUR, SIX = ip_address("192.0.2.1"), ip_address("2001:db8::1")


@pytest.mark.parametrize(("kind", "found"), [(types.A, [FOUR]), (types.AAAA, [SIX]), (types.TXT, [])])
def test_addresses_of_the_type_in_question(kind, found):
    message = parse(answers.with_addresses(ask("site.test", kind), (FOUR, SIX)))
    assert (message.id, message.response, message.rcode) == (0, True, types.NOERROR)
    assert message.question == ("site.test", kind, 1)
    assert [(each.name, each.type, each.ttl, each.data) for each in message.answer] == [
        ("site.test", kind, 600, ip.packed) for ip in found
    ]


def test_names():
    message = parse(answers.with_names(ask("1.2.0.192.in-addr.arpa", types.PTR), ["site.test", "b.test"], 5))
    assert [(each.ttl, each.data) for each in message.answer] == [
        (5, encode_name("site.test")),
        (5, encode_name("b.test")),
    ]


def test_nothing():
    assert parse(answers.with_nothing(ask("site.test"))).answer == ()
    assert parse(answers.with_nothing(ask("site.test"), types.NXDOMAIN)).rcode == types.NXDOMAIN


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("1.2.0.192.in-addr.arpa", "192.0.2.1"),
        (SIX.reverse_pointer, "2001:0db8:0000:0000:0000:0000:0000:0001"),
        ("2.0.192.in-addr.arpa", ""),
        ("x.2.0.192.in-addr.arpa", ""),
        ("1111.2.0.192.in-addr.arpa", ""),
        ("1.ip6.arpa", ""),
        ("." * 31 + "1" * 32 + ".ip6.arpa", "1111:1111:1111:1111:1111:1111:1111:1111"),
        ("site.test", ""),
        ("", ""),
    ],
)
def test_names_that_stand_for_addresses(name, address):
    assert answers.address_in(name) == address
