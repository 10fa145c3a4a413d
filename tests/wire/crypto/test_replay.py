from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st

from gproxy.wire.crypto.replay import PacketWindow


def take(window: PacketWindow, number: int) -> bool:
    """Whether it is taken, as a packet that proved to be genuine."""
    if not window.fresh(number):
        return False
    window.accept(number)
    return True


def test_each_packet_once() -> None:
    window = PacketWindow(64)
    assert [take(window, number) for number in (0, 1, 1, 0, 2)] == [True, True, False, False, True]


def test_late_ones_are_taken_within_the_window() -> None:
    window = PacketWindow(64)
    assert take(window, 100)
    assert take(window, 37)
    assert not take(window, 36)
    assert not take(window, 37)
    assert take(window, 99)


def test_one_that_proved_to_be_forged_changes_nothing() -> None:
    window = PacketWindow(64)
    assert take(window, 5)
    assert window.fresh(1 << 40)  # and then its tag is wrong
    assert take(window, 4)


def test_a_leap_forgets_what_lies_behind() -> None:
    window = PacketWindow(64)
    assert take(window, 1)
    assert take(window, 1 + 64)
    assert not take(window, 1)
    assert take(window, 2)
    assert take(window, (1 << 64) - 1)
    assert not take(window, 65)
    assert not take(window, (1 << 64) - 65)
    assert take(window, (1 << 64) - 64)


def test_it_begins_anywhere() -> None:
    for first in (0, 1, 4095, 1 << 63):
        window = PacketWindow()
        assert take(window, first)
        assert not take(window, first)
        assert take(window, first + 1)


def test_it_stays_small() -> None:
    window = PacketWindow(4096)
    for number in (0, 1, 4095, 5000, 1 << 40, (1 << 40) + 4000, (1 << 64) - 1):
        window.accept(number)
    window.accept(0)
    assert sys.getsizeof(window._seen) < 1024


@given(st.integers(1, 80), st.lists(st.one_of(st.integers(0, 200), st.integers(0, 1 << 64)), max_size=60))
def test_it_agrees_with_a_plain_set(size: int, numbers: list[int]) -> None:
    window, seen = PacketWindow(size), set[int]()
    for number in numbers:
        wanted = number not in seen and (not seen or max(seen) - number < size)
        assert take(window, number) == wanted
        if wanted:
            seen.add(number)
