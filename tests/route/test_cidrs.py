"""gproxy.route.cidrs against the ipaddress module."""

from __future__ import annotations

from bisect import bisect_right
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, collapse_addresses, ip_network
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.base.address import parse_ip
from gproxy.route.cidrs import NOT_PUBLIC, CidrSet

four = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)).map(lambda p: IPv4Network(p, strict=False))
six = st.tuples(st.integers(0, 2**128 - 1), st.integers(0, 128)).map(lambda p: IPv6Network(p, strict=False))


@given(st.lists(st.one_of(four, six), max_size=10), st.integers(0, 2**128 - 1))
def test_membership_is_that_of_ipaddress(networks, number):
    found = CidrSet(networks)
    edges = [ip + step for net in networks for ip in (net.network_address, net.broadcast_address)
             for step in (-1, 0, 1) if 0 <= int(ip) + step < 2**ip.max_prefixlen]  # fmt: skip
    for ip in [*edges, IPv4Address(number >> 96), IPv6Address(number)]:
        assert (ip in found) == any(ip in network for network in networks if network.version == ip.version)


def test_the_families_are_kept_apart():
    assert IPv6Address("::7f00:1") not in CidrSet([ip_network("127.0.0.0/8")])
    assert IPv4Address("0.0.0.1") not in CidrSet([ip_network("::/64")])


def test_prefixes_of_mapped_addresses_are_ipv4():
    mapped = CidrSet([ip_network("::ffff:10.0.0.0/104")])
    assert parse_ip("::ffff:10.1.2.3") in mapped
    assert parse_ip("10.1.2.3") in mapped
    assert parse_ip("11.1.2.3") not in mapped
    assert parse_ip("9.1.2.3") not in mapped


@pytest.mark.parametrize(
    "text",
    [
        "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.1.1", "127.0.0.1", "169.254.169.254", "224.0.0.1",
        "239.255.255.255", "0.0.0.0", "::", "::1", "fc00::", "fdff:ffff::1", "fe80::1", "febf::1", "ff02::1",
    ],
)  # fmt: skip
def test_not_public(text):
    assert parse_ip(text) in CidrSet(NOT_PUBLIC)


@pytest.mark.parametrize(
    "text",
    [
        "11.0.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255", "128.0.0.0", "100.64.0.1", "240.0.0.1",
        "255.255.255.255", "0.0.0.1", "8.8.8.8", "198.51.100.1", "::2", "fec0::1", "fe00::1", "2001:db8::1", "fbff::1",
        "64:ff9b::a00:1",
    ],
)  # fmt: skip
def test_public_as_in_sing_box(text):
    assert parse_ip(text) not in CidrSet(NOT_PUBLIC)


def test_many_prefixes_are_found_by_blocks():
    draw = Random(1)
    networks = [IPv4Network((draw.getrandbits(32), draw.randint(9, 32)), strict=False) for _ in range(1500)]
    networks += [ip_network("0.0.0.0/31"), ip_network("255.255.255.255/32"), ip_network("16.0.0.0/28")]
    found = CidrSet(networks)
    assert len(found.four) > 512
    merged = list(collapse_addresses(networks))
    firsts, lasts = [int(net[0]) for net in merged], [int(net[-1]) for net in merged]
    for number in [draw.getrandbits(32) for _ in range(2000)] + [0, 1, 2, 2**32 - 1, 2**32 - 2, 2**28 - 1, 2**28]:
        at = bisect_right(firsts, number) - 1
        assert (IPv4Address(number) in found) == (at >= 0 and number <= lasts[at])


def test_a_set_of_ranges_and_of_boundaries():
    made = CidrSet.of([(5, 9), (10, 12)], [(2**64, 2**65)])
    again = CidrSet.sorted(made.four, made.six)
    for each in (made, again):
        assert [number for number in range(20) if IPv4Address(number) in each] == list(range(5, 13))
        assert IPv6Address(2**65) in each
        assert IPv6Address(2**65 + 1) not in each
