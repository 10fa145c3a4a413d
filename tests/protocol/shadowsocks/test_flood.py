from __future__ import annotations

import logging

import pytest

from gproxy.protocol.shadowsocks.flood import Sieve
from gproxy.protocol.shadowsocks.packets import Dropped
from tests.support.clock import HeldClock

GOOD, BAD = b"+", b"-"
HOST, OTHER = "192.0.2.1", "192.0.2.2"


class Door:
    """Admits what is good, and counts what it was asked about."""

    def __init__(self) -> None:
        self.tried: list[bytes] = []
        self.dropped = Dropped(logging.getLogger("test.flood"))
        self.sieve = Sieve(self._admit, self.dropped)

    def _admit(self, packet: bytes, host: str) -> bool:
        self.tried.append(packet)
        return packet == GOOD

    def flood(self, count: int, host: str = HOST) -> int:
        """How many of so many bad packets were tried."""
        before = len(self.tried)
        assert not any(self.sieve.admit(BAD, host) for _ in range(count))
        return len(self.tried) - before


@pytest.fixture
def door(held_clock: HeldClock) -> Door:
    return Door()


def test_much_garbage_of_a_host_is_not_all_tried(door: Door) -> None:
    assert door.flood(1000) == 1000
    assert door.flood(8000) == 1000
    assert door.dropped.counts == {"overload": 7000}


def test_other_hosts_are_tried_as_ever(door: Door) -> None:
    door.flood(2000)
    assert door.flood(1000, OTHER) == 1000


def test_a_good_packet_among_them_still_has_a_chance(door: Door) -> None:
    door.flood(5000)
    assert any(door.sieve.admit(GOOD, HOST) for _ in range(8))


def test_whoever_has_got_in_is_not_held_up_behind_that(door: Door) -> None:
    """The one that is tried is tried again until it is a bad one."""
    door.flood(1000)
    assert [door.sieve.admit(GOOD, HOST) for _ in range(20)] == [True] * 20


def test_the_next_second_begins_anew(door: Door, held_clock: HeldClock) -> None:
    door.flood(5000)
    held_clock.advance(1)
    assert door.flood(1000) == 1000


def test_a_flood_from_everywhere_is_bounded_in_memory(door: Door) -> None:
    for number in range(10_000):
        assert not door.sieve.admit(BAD, f"10.0.{number >> 8}.{number & 255}")
    assert len(door.tried) == 10_000
    assert len(door.sieve._bad) == 4096
