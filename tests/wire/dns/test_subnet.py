"""The client-subnet option: what it looks like beyond what the laws show, and in a message."""

from __future__ import annotations

from ipaddress import ip_network

import dns.edns
import pytest
from hypothesis import given

from gproxy.base.errors import ProtocolError
from gproxy.wire.dns import types
from gproxy.wire.dns.message import Edns
from gproxy.wire.dns.subnet import (
    Subnet,
    encode_subnet,
    parse_subnet,
    subnet_of,
    with_subnet,
    without_subnet,
)
from tests.wire.dns.laws_dns import subnets

NETWORK = ip_network("192.0.2.0/24")
DATA = b"\0\1\x18\0\xc0\0\2"
COOKIE = (types.COOKIE, b"12345678")


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("192.0.2.7/24", "192.0.2.0/24"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("2001:db8::1", "2001:db8::1/128"),
        ("::/0", "::/0"),
    ],
)
def test_networks_are_read(text, network):
    assert parse_subnet(text) == ip_network(network)


@pytest.mark.parametrize("text", ["", "192.0.2.0/33", "example.com", "192.0.2/24", "1"])
def test_what_is_no_network(text):
    with pytest.raises(ValueError):
        parse_subnet(text)


def test_a_scope_that_no_prefix_has():
    with pytest.raises(ValueError):
        encode_subnet(Subnet(NETWORK, 33))


@given(subnet=subnets)
def test_dnspython_writes_the_same(subnet):
    theirs = dns.edns.ECSOption(str(subnet.network.network_address), subnet.network.prefixlen, subnet.scope)
    assert theirs.to_wire() == encode_subnet(subnet)


def test_a_message_has_one_subnet():
    edns = with_subnet(Edns(4096, True, options=(COOKIE,)), NETWORK)
    assert edns == Edns(4096, True, 0, (COOKIE, (types.CLIENT_SUBNET, DATA)))
    assert subnet_of(edns) == Subnet(NETWORK)
    other = ip_network("2001:db8::/32")
    assert subnet_of(with_subnet(edns, other)) == Subnet(other)
    assert without_subnet(edns) == Edns(4096, True, 0, (COOKIE,))
    assert subnet_of(without_subnet(edns)) is None


def test_a_message_without_edns_gets_it_for_a_subnet():
    assert with_subnet(None, NETWORK) == Edns(options=((types.CLIENT_SUBNET, DATA),))
    assert without_subnet(None) is None
    assert subnet_of(None) is None


@pytest.mark.parametrize("data", [(b"",), (DATA[:-1],), (DATA + b"\0",), (DATA, DATA), (b"\0\3\0\0",)])
def test_bad_subnets_are_refused(data):
    with pytest.raises(ProtocolError):
        subnet_of(Edns(options=tuple((types.CLIENT_SUBNET, one) for one in data)))
