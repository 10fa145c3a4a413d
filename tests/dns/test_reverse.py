"""gproxy.dns.reverse: which name led to an address."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from gproxy.dns import reverse as room
from gproxy.dns.reverse import MOST, Reverse
from gproxy.wire.dns import types
from tests.dns.kit import reply
from tests.support.clock import HeldClock

ONE = ip_address("192.0.2.1")


def test_the_last_name_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = HeldClock()
    monkeypatch.setattr(room, "now", clock.now)
    names = Reverse()
    names.note(reply("a.test", types.A, "192.0.2.1"), 300)
    names.note(reply("b.test", types.A, "192.0.2.1", "192.0.2.2"), 5)
    assert (names.name_of(ONE), names.name_of(ip_address("192.0.2.3"))) == ("b.test", "")
    clock.advance(59)
    assert names.name_of(ONE) == "b.test"
    clock.advance(2)
    assert names.name_of(ONE) == ""


def test_failures_tell_nothing() -> None:
    names = Reverse()
    names.note(reply("a.test", types.A, "192.0.2.1", rcode=types.NXDOMAIN), 300)
    answer = reply("a.test", types.A, "192.0.2.1")
    answer.question = None
    names.note(answer, 300)
    assert names.name_of(ONE) == ""


def test_there_is_a_bound() -> None:
    names = Reverse()
    for number in range(MOST + 2):
        names.note(reply("a.test", types.A, f"10.0.{number >> 8}.{number & 255}"), 300)
    assert names.name_of(ip_address("10.0.0.1")) == ""
    assert names.name_of(ip_address("10.0.0.2")) == "a.test"
