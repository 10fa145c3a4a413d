"""How SystemDialer chooses; the promises that it keeps are in tests/conformance/test_dialers.py."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

import pytest

from gproxy.base.address import IP, UNSPECIFIED, Address, Host
from gproxy.base.errors import DialError
from gproxy.base.session import DialOptions, Session
from gproxy.net import direct as room
from gproxy.net.direct import SystemDialer
from gproxy.net.tcp import SocketOptions
from tests.support.pipe import pipe

A, X = IPv4Address("192.0.2.1"), IPv6Address("2001:db8::1")
TARGET = Address("site.test", 80)


@pytest.fixture
def dialer() -> SystemDialer:
    return SystemDialer(SocketOptions(), connect_timeout=5, fallback_delay=0.3, lookup=lambda domain, session: (X, A))


@pytest.mark.parametrize(("asked", "delay"), [(None, 0.3), (0.0, 0.0), (2.0, 2.0)])
def test_a_rule_may_say_how_long_the_other_family_waits(
    dialer: SystemDialer, monkeypatch: pytest.MonkeyPatch, asked: float | None, delay: float
) -> None:
    seen: list[tuple[Sequence[IP], float]] = []

    def race(addresses: Sequence[IP], connect: object, fallback_delay: float) -> object:
        seen.append((addresses, fallback_delay))
        return pipe()[0]

    monkeypatch.setattr(room, "race", race)
    dialer.dial(TARGET, Session(1, "tcp", "in", UNSPECIFIED, TARGET, dial=DialOptions(fallback_delay=asked)))
    assert seen == [((X, A), delay)]


def test_one_address_needs_no_race(dialer: SystemDialer, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[IP, int]] = []
    monkeypatch.setattr(room, "connect", lambda ip, port, options: tried.append((ip, port)) or pipe()[0])
    monkeypatch.setattr(room, "race", None)
    dialer.dial(TARGET, Session(1, "tcp", "in", UNSPECIFIED, TARGET, addresses=(A,)))
    dialer.dial(Address(X, 81), Session(1, "tcp", "in", UNSPECIFIED, Address(X, 81)))
    assert tried == [(A, 80), (X, 81)]


def test_no_socket_for_datagrams(dialer: SystemDialer, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_udp(options: SocketOptions, target: Host) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(room, "open_udp", open_udp)
    with pytest.raises(DialError, match="Too many open files") as caught:
        dialer.dial_packet(TARGET, Session(1, "udp", "in", UNSPECIFIED, TARGET))
    assert caught.value.reason == "failed"
