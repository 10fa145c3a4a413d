from __future__ import annotations

import logging
import mmap

import pytest

from gproxy.app.pressure import Pressure, give_back, memory_in_use
from gproxy.base.address import UNSPECIFIED
from gproxy.base.errors import StreamClosed
from gproxy.base.session import Session
from gproxy.engine.table import Table
from gproxy.limit.room import Room
from gproxy.relay.idle import SWEEPER
from gproxy.rt.group import Group
from gproxy.rt.sync import Event, sleep
from tests.support.clock import HeldClock
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaked_greenlets")

MIB = 1 << 20


class Client:
    """A session that waits until it is ended, in a relay unless told otherwise."""

    def __init__(self, table: Table, group: Group, *, relayed: bool = True) -> None:
        self.session = Session(table.next_id(), "tcp", "in", UNSPECIFIED, UNSPECIFIED)
        self.ended = ""
        self.seen, self.since, self.bytes = -1, 0.0, 0
        self._table = table
        group.spawn(self._relay if relayed else self._serve)
        sleep(0)

    def _relay(self) -> None:
        SWEEPER.add(self)
        try:
            self._serve()
        finally:
            SWEEPER.remove(self)

    def _serve(self) -> None:
        self._table.add(self.session)
        try:
            Event().wait()
        except StreamClosed as error:
            self.ended = error.reason
        finally:
            self._table.remove(self.session)

    def moved(self) -> int:
        return self.bytes

    def patience(self) -> float:
        return 1e9

    def expire(self) -> None:
        raise AssertionError("nobody is that impatient")


class Plane:
    """Memory that is what the test says."""

    def __init__(self) -> None:
        self.used = 20 * MIB
        self.table, self.room = Table(), Room()
        self.pressure = Pressure(100 * MIB, self.room, self.table, lambda: self.used)

    def look(self, used: int) -> None:
        self.used = used * MIB
        self.pressure.look()
        sleep(0)
        sleep(0)

    def is_open(self) -> bool:
        return self.room.taken < self.room.most


def test_it_accepts_no_more_until_enough_is_free(caplog: pytest.LogCaptureFixture, held_clock: HeldClock) -> None:
    caplog.set_level(logging.INFO, "gproxy")
    plane = Plane()
    with Group("test") as group:
        clients = [Client(plane.table, group) for _ in range(3)]
        plane.look(100)
        assert plane.is_open()
        plane.look(101)
        assert not plane.is_open()
        held_clock.advance(1)
        plane.look(95)
        assert not plane.is_open()
        held_clock.advance(1)
        plane.look(80)
        assert plane.is_open()
        assert [client.ended for client in clients] == ["pressure", "pressure", ""]
    said, ended = caplog.messages
    assert said == "memory is short, 101 of 100 MiB are in use: accepting pauses, the longest idle sessions end"
    assert ended.startswith(
        "memory is there again, 80 of 100 MiB are in use by 1 sessions: accepting goes on, after 2.0 s"
    )


def test_the_longest_idle_end_first(held_clock: HeldClock) -> None:
    plane = Plane()
    with Group("test") as group:
        young = Client(plane.table, group, relayed=False)
        busy, idle, later = (Client(plane.table, group) for _ in range(3))
        plane.look(91)  # near the limit: from here on it looks who moves
        held_clock.advance(1)
        busy.bytes += 1
        plane.look(92)
        held_clock.advance(1)
        busy.bytes += 1
        order = []
        for used in (101, 93, 92, 91):
            before = [client for client in (young, busy, idle, later) if client.ended]
            plane.look(used)
            order += [client for client in (young, busy, idle, later) if client.ended and client not in before]
        assert order == [idle, later, busy, young]


def test_a_limit_that_cannot_be_kept_is_told(caplog: pytest.LogCaptureFixture) -> None:
    plane = Plane()
    plane.look(120)
    plane.look(120)
    assert plane.is_open()
    assert [record.levelno for record in caplog.records] == [logging.WARNING, logging.ERROR]
    assert "can't be kept" in caplog.messages[-1]


def test_it_looks_by_itself() -> None:
    plane = Plane()
    plane.used = 101 * MIB
    with Group("test") as group:
        Client(plane.table, group)
        group.spawn(plane.pressure.watch)
        wait_until(lambda: not plane.is_open(), "nobody looks")


def test_the_memory_in_use_is_what_was_written_to() -> None:
    before = memory_in_use()
    block = mmap.mmap(-1, 32 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for _ in range(32):  # not at once: the C library may keep the room that so much took
        block.write(b"x" * MIB)
    assert 30 * MIB < memory_in_use() - before < 100 * MIB
    block.close()
    assert memory_in_use() - before < 20 * MIB


def test_giving_back_is_harmless() -> None:
    give_back()
    give_back()
