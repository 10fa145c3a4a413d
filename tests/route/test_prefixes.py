from __future__ import annotations

from ipaddress import collapse_addresses, ip_network, summarize_address_range

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.route.prefixes import NO_RANGES, IpRanges, read_prefix, read_prefixes


def test_prefixes_become_ranges_that_are_merged():
    found = read_prefixes(["10.0.1.0/24", "10.0.0.7/24", "1.2.3.4", "2001:db8::5/32", "::1"])
    assert found.four == ((0x01020304, 0x01020304), (0x0A000000, 0x0A0001FF))
    assert [first for first, _ in found.six] == [1, 0x20010DB8 << 96]
    assert list(found.prefixes()) == ["1.2.3.4/32", "10.0.0.0/23", "::1/128", "2001:db8::/32"]


def test_mapped_addresses_stay_what_they_are_and_have_dots():
    found = read_prefixes(["::ffff:1.2.3.4/120"])
    assert found.four == ()
    assert list(found.prefixes()) == ["::ffff:1.2.3.0/120"]


def test_the_whole_of_a_family_is_one_prefix():
    assert list(read_prefixes(["0.0.0.0/0", "::/0"]).prefixes()) == ["0.0.0.0/0", "::/0"]


def test_no_ranges_are_false():
    assert not NO_RANGES
    assert read_prefixes(["::"])


@pytest.mark.parametrize(
    "text",
    ["", "/8", "1.2.3.4/", "1.2.3.4/33", "1.2.3.4/-1", "1.2.3.4/08", "1.2.3.4/255.0.0.0", "1.2.3", "1.2.3.4/8/8",
     "::/129", "fe80::1%eth0", "fe80::1%eth0/64", "x", "1.2.3.4/٣", " 1.2.3.4", "01.2.3.4"],
)  # fmt: skip
def test_what_is_no_prefix_is_refused(text):
    with pytest.raises(ValueError, match="expected an IP prefix"):
        read_prefix(text)


ADDRESSES = st.integers(0, 2**32 - 1)


@given(st.lists(st.tuples(ADDRESSES, st.integers(0, 32)), max_size=8))
def test_prefixes_are_the_fewest(pairs):
    networks = [ip_network((address, bits), strict=False) for address, bits in pairs]
    found = read_prefixes(map(str, networks))
    assert list(found.prefixes()) == [str(each) for each in collapse_addresses(networks)]


@given(ADDRESSES, ADDRESSES)
def test_any_range_is_split(one, other):
    first, last = sorted((one, other))
    expected = summarize_address_range(ip_network(first).network_address, ip_network(last).network_address)
    assert list(IpRanges.of([(first, last)], []).prefixes()) == [str(each) for each in expected]
