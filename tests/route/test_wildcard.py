from __future__ import annotations

import time

import pytest

from gproxy.route.wildcard import DomainWildcard, compile_wildcards
from gproxy.schema.problem import BadValue


def matches(wildcard: str, name: str) -> bool:
    kind = compile_wildcards([DomainWildcard.parse(wildcard)])
    return kind(name) is not None


@pytest.mark.parametrize(
    ("wildcard", "name", "found"),
    [
        ("*.example.org", "www.example.org", True),
        ("*.example.org", "a.b.example.org", True),
        ("*.example.org", "example.org", False),
        ("*.example.org", "www.example.org.evil.test", False),
        ("*example.org", "example.org", True),
        ("api-??.example.org", "api-de.example.org", True),
        ("api-??.example.org", "api-d.example.org", False),
        ("a.*.org", "a.b.org", True),
        ("a.*.org", "axb.org", False),
        ("WWW.*", "www.test", True),
        ("*", "anything", True),
        ("a*b*c", "aXbXbc", True),
        ("a*b*c", "acb", False),
    ],
)
def test_kinds_of_domains(wildcard: str, name: str, found: bool) -> None:
    assert matches(wildcard, name) is found


@pytest.mark.parametrize("value", ["example.org", "", "*.bücher.example", "[a]*", "*" * 254, "a b*", 7, "*\n"])
def test_what_is_none(value: object) -> None:
    with pytest.raises(BadValue, match="wildcards"):
        DomainWildcard.parse(value)


def test_one_of_several_kinds() -> None:
    kind = compile_wildcards(["*.a.test", "b?.test", "*c"])
    assert [name for name in ("x.a.test", "bb.test", "b.test", "xc", "xcx", "bb.tests") if kind(name)] == [
        "x.a.test", "bb.test", "xc",
    ]  # fmt: skip


def test_no_name_holds_anybody_up() -> None:
    """Where each star could end at each letter, trying all of them would take for ever."""
    kind = compile_wildcards(["*a" * 60 + "b"])
    began = time.process_time()
    assert kind("a" * 253) is None
    assert time.process_time() - began < 0.1
