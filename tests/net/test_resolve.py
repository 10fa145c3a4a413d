from __future__ import annotations

from _socket import gaierror
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.base.errors import DialError
from gproxy.net import resolve as room
from gproxy.net.resolve import order, resolve

A, B = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")
X, Y = IPv6Address("2001:db8::1"), IPv6Address("2001:db8::2")
STRATEGIES = ["", "prefer_ipv4", "prefer_ipv6", "ipv4_only", "ipv6_only"]


def answer(monkeypatch: pytest.MonkeyPatch, *texts: str) -> None:
    monkeypatch.setattr(room, "getaddrinfo", lambda *args: [(0, 0, 0, "", (text, 0)) for text in texts])


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [("", (X, A, Y, B)), ("prefer_ipv4", (A, B, X, Y)), ("prefer_ipv6", (X, Y, A, B)), ("ipv4_only", (A, B)),
     ("ipv6_only", (X, Y))],
)  # fmt: skip
def test_the_order(strategy: str, expected: tuple[object, ...]) -> None:
    assert order([X, A, Y, B, A, X], strategy) == expected  # type: ignore[arg-type]


@given(st.lists(st.sampled_from([A, B, X, Y])), st.sampled_from(STRATEGIES))
def test_nothing_is_invented_or_repeated(found: list[IPv4Address | IPv6Address], strategy: str) -> None:
    ordered = order(found, strategy)  # type: ignore[arg-type]
    assert len(set(ordered)) == len(ordered)
    assert set(ordered) <= set(found)
    if not strategy.endswith("only"):
        assert set(ordered) == set(found)


def test_the_systems_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, "2001:db8::1", "192.0.2.1", "::ffff:192.0.2.1", "fe80::1%lo")
    assert resolve("x.test") == (X, A, IPv6Address("fe80::1"))
    assert resolve("x.test", "ipv4_only") == (A,)


def test_no_address_of_the_wanted_family(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, "192.0.2.1")
    with pytest.raises(DialError, match=r"x\.test") as caught:
        resolve("x.test", "ipv6_only")
    assert caught.value.reason == "dns"


def test_the_systems_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*args: object) -> None:
        raise gaierror(-2, "Name or service not known")

    monkeypatch.setattr(room, "getaddrinfo", getaddrinfo)
    with pytest.raises(DialError, match="not known") as caught:
        resolve("x.test")
    assert caught.value.word == "dial-dns"


def test_the_real_system_knows_this_machine() -> None:
    assert {str(ip) for ip in resolve("localhost")} & {"127.0.0.1", "::1"}
