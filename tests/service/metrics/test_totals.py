from __future__ import annotations

import os
import signal

import pytest

from gproxy.limit.memory import Memory
from gproxy.service.metrics.totals import OTHER, USER, Totals

pytestmark = pytest.mark.usefixtures("no_leaks")


def test_what_is_added_is_added_up() -> None:
    totals = Totals(Memory(), 10)
    totals.add({("moved", "in", "out"): (1, 2)}.items())
    totals.add([(("moved", "in", "out"), (10, 20)), (("moved", "in", "other"), (5, 0))])
    assert dict(totals.read()) == {("moved", "in", "out"): (11, 22), ("moved", "in", "other"): (5, 0)}


def test_all_who_share_the_memory_add_to_the_same() -> None:
    memory = Memory()
    one, other = Totals(memory, 10), Totals(memory, 10)
    one.add({("a", "ü"): (1,)}.items())
    other.add({("b",): (1,)}.items())
    other.add({("a", "ü"): (2,)}.items())
    one.add({("b",): (4,)}.items())
    assert dict(one.read()) == dict(other.read()) == {("a", "ü"): (3,), ("b",): (5,)}


def test_what_a_killed_process_has_told_stays() -> None:
    memory = Memory()
    totals = Totals(memory, 10)
    pid = os.fork()
    if pid == 0:
        totals.add({("a",): (7,)}.items())
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    totals.add({("a",): (1,)}.items())
    assert dict(totals.read()) == {("a",): (8,)}


def test_processes_lose_nothing_to_each_other() -> None:
    memory = Memory()
    totals = Totals(memory, 10)
    pids = []
    for _ in range(3):
        pid = os.fork()
        if pid == 0:
            for index in range(2000):
                while not totals.add({("a",): (1,), ("b", str(index % 50)): (1,)}.items()):
                    os.sched_yield()
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
    sums = dict(totals.read())
    assert sums["a",] == (6000,)
    assert sum(values[0] for key, values in sums.items() if key[0] == "b") == 6000


def test_users_beyond_the_first_ones_are_one() -> None:
    memory = Memory()
    totals = Totals(memory, 2)
    for name in ("ada", "bob", "eve", "joe", "ada"):
        totals.add({(USER, name): (1, 0, 1, 0)}.items())
    Totals(memory, 2).add({(USER, "eve"): (1, 0, 1, 0)}.items())
    assert dict(totals.read()) == {
        (USER, "ada"): (2, 0, 2, 0),
        (USER, "bob"): (1, 0, 1, 0),
        (USER, OTHER): (3, 0, 3, 0),
    }


def test_what_there_is_no_room_for_is_counted_as_lost() -> None:
    totals = Totals(Memory(), 10, 65536)
    for index in range(3000):
        totals.add({("a", str(index)): (1,)}.items())
    kept = dict(totals.read())
    assert 1000 < len(kept) < 3000
    assert totals.lost == 3000 - len(kept)
    totals.add({("a", "0"): (1,)}.items())
    assert dict(totals.read())["a", "0"] == (2,)


def test_a_name_that_is_too_long_and_values_that_do_not_fit_spoil_nothing() -> None:
    totals = Totals(Memory(), 10)
    totals.add({("a", "x" * 5000): (1,)}.items())
    totals.add({("b",): (1, 2)}.items())
    totals.add({("b",): (1,)}.items())
    assert totals.lost == 2
    assert dict(totals.read()) == {("b",): (1, 2)}


def test_who_is_stopped_while_it_adds_holds_up_nobody() -> None:
    memory = Memory()
    totals = Totals(memory, 10)
    ready, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        totals._section.lock()
        os.write(tell, b"x")
        signal.pause()
    os.read(ready, 1)
    os.close(ready)
    os.close(tell)
    assert not totals.add([(("a",), (1,))])
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert totals.add([(("a",), (1,))])
    assert dict(totals.read()) == {("a",): (1,)}
