"""gproxy.route.domains against a naive reading of the same words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.base.address import MAX_DOMAIN
from gproxy.route.domains import MANY, DomainSet, DomainTrie, domain_set, family, folded, make_trie, trie_keys

label = st.sampled_from(["a", "b", "ab", "ba", "org"])
name = st.lists(label, min_size=1, max_size=4).map(".".join)
suffix = st.one_of(name, name.map(lambda text: "." + text))


def naive(host: str, domains: list[str], suffixes: list[str]) -> bool:
    return host in domains or any(
        host.endswith(each) if each.startswith(".") else host == each or host.endswith("." + each) for each in suffixes
    )


@given(name, st.lists(name, max_size=4), st.lists(suffix, max_size=4))
def test_membership_is_the_naive_one(host, domains, suffixes):
    assert (host in DomainSet(domains, suffixes)) == naive(host, domains, suffixes)


@pytest.mark.parametrize(
    ("suffix", "inside", "outside"),
    [
        (
            "example.org",
            ["example.org", "a.example.org", "b.a.example.org"],
            ["notexample.org", "org", "example.org.uk"],
        ),
        (".example.org", ["a.example.org", "b.a.example.org"], ["example.org", "notexample.org"]),
        ("org", ["org", "x.org", "y.x.org"], ["xorg", "org.test"]),
    ],
)
def test_suffixes(suffix, inside, outside):
    found = DomainSet([], [suffix])
    assert all(host in found for host in inside)
    assert not any(host in found for host in outside)


def test_a_domain_is_only_itself():
    assert "example.org" in DomainSet(["example.org"], [])
    assert "a.example.org" not in DomainSet(["example.org"], [])


def test_no_name_is_in_no_set():
    assert "" not in DomainSet(["example.org"], ["org"])


def test_family():
    assert family("a.b.c") == ("a.b.c", ".b.c", ".c")


def test_what_is_remembered_of_hostile_names_is_bounded():
    longest = ".".join("a" * ((MAX_DOMAIN + 1) // 2))
    assert len(longest) == MAX_DOMAIN
    size = sum(len(part) + 64 for part in family(longest))
    limit = family.cache_info().maxsize
    assert limit is not None
    assert size * limit < 4 * 1024 * 1024


@given(name, st.lists(name, max_size=4), st.lists(suffix, max_size=4))
def test_a_trie_has_the_same_members(host, domains, suffixes):
    assert (host in DomainTrie(make_trie(trie_keys(domains, suffixes)))) == naive(host, domains, suffixes)


@given(name, st.lists(st.tuples(st.lists(name, max_size=3), st.lists(suffix, max_size=3)), min_size=1, max_size=12))
def test_sets_of_one_trie_are_kept_apart(host, sets):
    trie = make_trie([key for number, each in enumerate(sets) for key in trie_keys(*each, number)])
    for number, each in enumerate(sets):
        assert (host in DomainTrie(trie, number)) == naive(host, *each)


def test_many_are_kept_in_a_trie():
    few, many = [f"n{n}.test" for n in range(MANY - 1)], [f"n{n}.test" for n in range(MANY)]
    assert isinstance(domain_set(few, []), DomainSet)
    made = domain_set([], many)
    assert isinstance(made, DomainTrie)
    assert "a.n7.test" in made
    assert "n7.tes" not in made


def test_folded_names():
    names = ["A.Test", ".B.test", "bücher.test", ".bücher.test", "a b", "a\x02b", "", "ü" * 70]
    assert list(folded(names)) == ["a.test", ".b.test", "xn--bcher-kva.test", ".xn--bcher-kva.test", "a b", ""]
