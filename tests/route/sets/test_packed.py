"""gproxy.route.sets.packed: what is made ready is what was written, and nothing else is taken for it."""

from __future__ import annotations

import os
import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.route.domains import DomainTrie
from gproxy.route.headless import BadRuleSet, HeadlessRule
from gproxy.route.sets.packed import BadPacked, Packed, from_file, in_memory, pack
from tests.route.sets.kit import mapped, packed, rules

MANY = [f"n{number}.test" for number in range(1200)]


def test_small_sets_are_all_json():
    made = packed({"domain": "A.Test", "domain_suffix": ["b.test", ".bücher.test"], "port": 80, "port_range": "90:99"})
    (rule,) = made.rules
    assert made.trie is None
    assert rule["items"]["domains"] == [["a.test"], ["b.test", ".xn--bcher-kva.test"]]
    assert rule["items"]["port"] == [[80, 80], [90, 99]]


def test_large_ones_share_a_trie():
    made = packed({"domain_suffix": MANY}, {"domain": [name.replace("n", "m") for name in MANY], "port": 80})
    first, second = (DomainTrie(made.trie, rule["items"]["domains"]) for rule in made.rules)
    assert "n7.test" in first
    assert "x.n7.test" in first
    assert "n7.test" not in second
    assert "m7.test" in second
    assert "x.m7.test" not in second
    assert "m7.test" not in first


def test_names_that_none_can_have_are_left_out():
    made = packed({"domain": ["a\x01b", "a\x02", "ok.test", "x" * 80 + "é"]})
    assert made.rules[0]["items"]["domains"] == [["ok.test"], []]


prefixes = st.one_of(
    st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)).map(lambda p: f"{ip_address(p[0])}/{p[1]}"),
    st.tuples(st.integers(2**64, 2**128 - 1), st.integers(0, 128)).map(lambda p: f"{ip_address(p[0])}/{p[1]}"),
)


@given(st.lists(prefixes, min_size=1, max_size=6), st.lists(prefixes, min_size=1, max_size=6))
def test_prefixes_are_what_they_were(one, other):
    made = packed({"ip_cidr": one, "source_ip_cidr": other})
    (rule,) = rules({"ip_cidr": one, "source_ip_cidr": other})
    assert isinstance(rule, HeadlessRule)
    for name, ranges in (("ip_cidr", rule.ip_cidr), ("source_ip_cidr", rule.source_ip_cidr)):
        found = made.cidrs(made.rules[0]["items"][name])
        for first, last in ranges.four:
            assert ip_address(first) in found
            assert ip_address(last) in found
            assert first == 0 or ip_address(first - 1) not in found
        for first, last in ranges.six:
            edges = [ip_address(value) for value in (first, last) if value >= 2**64]
            assert all(edge in found for edge in edges)


@pytest.mark.parametrize("key", ["domain_regex", "process_path_regex"])
def test_an_expression_that_is_none(key):
    with pytest.raises(BadRuleSet, match=key):
        pack(rules({key: "("}))


def test_it_may_be_cut_off_anywhere():
    data = pack(rules({"domain_suffix": MANY, "ip_cidr": "10.0.0.0/8"}))
    mapped(data)
    for length in [*range(200), *range(200, len(data), 101), len(data) - 1]:
        with pytest.raises(BadPacked):
            mapped(data[:length])


@given(st.data())
def test_no_bit_may_be_another(data):
    good = bytearray(pack(rules({"domain_suffix": MANY, "port": 80})))
    good[data.draw(st.integers(0, len(good) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(BadPacked):
        mapped(bytes(good))


def test_another_version_is_refused():
    data = bytearray(pack(rules({"port": 80})))
    at = data.index(b"gpx-set\n") + 8
    data[at : at + 2] = struct.pack("<H", struct.unpack("<H", data[at : at + 2])[0] + 1)
    with pytest.raises(BadPacked, match="version"):
        mapped(bytes(data))


def test_it_is_kept_in_memory_that_a_file_can_be_taken_from_under(tmp_path):
    path = tmp_path / "x.set"
    path.write_bytes(pack(rules({"domain_suffix": MANY})))
    descriptor = from_file(path)
    path.write_bytes(b"")
    made = Packed(descriptor)
    os.close(descriptor)
    assert "a.n9.test" in DomainTrie(made.trie, 0)


def test_a_memory_file_is_not_inherited():
    descriptor = in_memory(b"x" * 10)
    assert not os.get_inheritable(descriptor)
    assert os.pread(descriptor, 20, 0) == b"x" * 10
    os.close(descriptor)
