from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.limit.room import UNLIMITED, Room, share
from tests.support.clock import HeldClock


@given(st.integers(1, 10_000), st.integers(1, 64))
def test_the_parts_of_all_workers_add_up(most: int, workers: int) -> None:
    parts = [share(most, worker, workers) for worker in range(workers)]
    assert sum(parts) == max(most, workers)
    assert max(parts) - min(parts) <= 1


def test_no_limit_is_none_for_anybody() -> None:
    assert share(0, 1, 2) == UNLIMITED


class Door:
    def __init__(self, room: Room) -> None:
        self.room = room
        self.resumed = 0

    def resume(self) -> None:
        self.resumed += 1

    def let_in(self, count: int) -> int:
        for number in range(count):
            if self.room.taken >= self.room.most:
                self.room.wait(self.resume)
                return number
            self.room.taken += 1
        return count


def test_who_finds_no_place_is_called_once_when_there_are_some_again() -> None:
    room = Room(40)
    one, other = Door(room), Door(room)
    assert one.let_in(100) == 40
    assert other.let_in(1) == other.let_in(1) == 0
    room.leave()
    assert (one.resumed, other.resumed) == (0, 0)  # one of forty is not worth it
    room.leave()
    assert (one.resumed, other.resumed) == (1, 1)
    room.leave()
    assert (one.resumed, other.resumed) == (1, 1)


def test_one_place_is_enough_for_one_client() -> None:
    room = Room()
    room.allow(1)
    door = Door(room)
    assert door.let_in(2) == 1
    room.leave()
    assert door.resumed == 1


def test_a_closed_room_lets_nobody_in_until_it_is_reopened() -> None:
    room = Room(10)
    door = Door(room)
    door.let_in(5)
    room.close()
    assert door.let_in(1) == 0
    for _ in range(5):
        room.leave()
    assert (door.resumed, room.taken) == (0, 0)
    room.reopen()
    assert door.resumed == 1
    assert door.let_in(11) == 10


def test_a_room_that_is_full_when_it_is_reopened_stays_so() -> None:
    room = Room(2)
    door = Door(room)
    assert door.let_in(3) == 2
    room.close()
    room.reopen()
    assert door.resumed == 0
    room.leave()
    assert door.resumed == 1


def test_it_tells_when_it_fills_and_when_there_is_room_again(
    caplog: pytest.LogCaptureFixture, held_clock: HeldClock
) -> None:
    caplog.set_level(logging.INFO, "gproxy")
    room = Room(2)
    door = Door(room)
    door.let_in(3)
    door.let_in(3)
    held_clock.advance(1.5)
    room.leave()
    assert caplog.messages == [
        "all 2 places are taken: new clients wait until some have left",
        "1 of 2 places are taken: accepting goes on, after 1.5 s",
    ]


def test_it_does_not_fill_the_log(caplog: pytest.LogCaptureFixture, held_clock: HeldClock) -> None:
    caplog.set_level(logging.INFO, "gproxy")
    room = Room(1)
    door = Door(room)
    door.let_in(1)
    for _ in range(100):
        door.let_in(1)
        room.leave()
        room.taken += 1
    assert len(caplog.messages) == 6
    held_clock.advance(10)
    door.let_in(1)
    assert len(caplog.messages) == 7


def test_a_closed_room_leaves_the_talking_to_whoever_closed_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gproxy")
    room = Room(2)
    room.close()
    room.turn_away()
    room.reopen()
    assert caplog.messages == []
