from __future__ import annotations

from _socket import socket, socketpair
from collections.abc import Iterator

import pytest

from gproxy.base.errors import StreamClosed
from gproxy.rt.deadline import deadline
from gproxy.rt.group import Group
from gproxy.rt.sockets import (
    READ,
    WRITE,
    Gate,
    Parking,
    Readiness,
    Task,
    Timer,
    call_soon,
    watch,
)
from gproxy.rt.sync import Event, sleep
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")


class Late(Exception):
    """What the tests' deadlines raise."""


@pytest.fixture
def pair() -> Iterator[tuple[socket, socket]]:
    near, far = socketpair()
    near.setblocking(False)
    far.setblocking(False)
    yield near, far
    near.close()
    far.close()


@pytest.fixture
def group() -> Iterator[Group]:
    with Group("test") as group:
        yield group


Pair = tuple[socket, socket]


def _throw_into(target: Task, error: BaseException) -> None:
    call_soon(target.throw, error)


def test_waiting_ends_when_there_is_something(pair: Pair, group: Group) -> None:
    near, far = pair
    readable = Readiness(near.fileno(), READ)
    group.spawn(far.send, b"x")
    readable.wait()
    assert near.recv(1) == b"x"
    with pytest.raises(Late), deadline(0.001, Late()):
        readable.wait()
    far.send(b"y")
    readable.wait()
    readable.close()


def test_both_directions_of_one_descriptor(pair: Pair, group: Group) -> None:
    near, far = pair
    readable, writable = Readiness(near.fileno(), READ), Readiness(near.fileno(), WRITE)
    seen: list[str] = []
    group.spawn(lambda: (readable.wait(), seen.append("readable")))
    group.spawn(lambda: (writable.wait(), seen.append("writable")))
    wait_until(lambda: seen == ["writable"], "a socket with room is not writable")
    far.send(b"x")
    assert group.join(30)
    assert seen == ["writable", "readable"]
    readable.close()
    writable.close()


def test_a_waiter_can_be_woken_with_an_error_and_the_watcher_closed_at_once(pair: Pair, group: Group) -> None:
    near, _ = pair
    readable = Readiness(near.fileno(), READ)
    seen: list[BaseException] = []

    def wait() -> None:
        with pytest.raises(StreamClosed) as caught:
            readable.wait()
        seen.append(caught.value)

    group.spawn(wait)
    sleep(0)
    error = StreamClosed("over")
    readable.wake(error)
    readable.close()
    assert group.join(30)
    assert seen == [error]


def test_waking_nobody_is_quiet(pair: Pair) -> None:
    readable = Readiness(pair[0].fileno(), READ)
    readable.wake(StreamClosed("over"))
    readable.close()
    sleep(0)


def test_a_waiter_that_has_gone_by_itself_is_not_hit(pair: Pair, group: Group) -> None:
    readable = Readiness(pair[0].fileno(), READ)
    seen: list[str] = []

    def wait() -> None:
        try:
            readable.wait()
        except Late:
            sleep(0.002)
            seen.append("undisturbed")

    waiter = group.spawn(wait)
    sleep(0)
    _throw_into(waiter, Late())
    call_soon(readable.wake, StreamClosed("too late"))
    assert group.join(30)
    assert seen == ["undisturbed"]
    readable.close()


def test_a_bare_watcher_calls_back(pair: Pair) -> None:
    near, far = pair
    seen: list[bytes] = []
    watcher = watch(near.fileno(), READ)
    watcher.start(lambda: seen.append(near.recv(16)))
    far.send(b"x")
    wait_until(lambda: seen, "no call back")
    watcher.stop()
    watcher.close()
    assert seen == [b"x"]


def test_parking_ends_with_its_release(group: Group) -> None:
    parking = Parking()
    seen: list[str] = []
    group.spawn(lambda: (parking.park(), seen.append("on")))
    sleep(0)
    assert not seen
    parking.release()
    parking.release()
    assert parking.done
    assert group.join(30)
    assert seen == ["on"]
    parking.park()  # it is over: no wait


def test_what_is_thrown_at_a_parked_greenlet_comes_out(group: Group) -> None:
    parking = Parking()
    seen: list[str] = []

    def wait() -> None:
        try:
            parking.park()
        except StreamClosed as error:
            seen.append(error.reason)
        sleep(0.002)  # a release that comes now must not end this wait early
        seen.append("slept")

    waiter = group.spawn(wait)
    sleep(0)
    _throw_into(waiter, StreamClosed("over", reason="killed"))
    parking.release()
    assert group.join(30)
    assert seen == ["killed", "slept"]


def test_a_gate_that_was_opened_before_is_not_waited_for() -> None:
    gate = Gate()
    gate.open()
    gate.open()
    gate.wait()
    with pytest.raises(Late), deadline(0.001, Late()):
        gate.wait()


def test_a_gate_lets_its_waiter_through_each_time(group: Group) -> None:
    gate = Gate()
    passed: list[int] = []

    def walk() -> None:
        for number in range(3):
            gate.wait()
            passed.append(number)

    group.spawn(walk)
    for number in range(3):
        sleep(0)
        assert len(passed) == number
        gate.open()
        gate.open()
        sleep(0)
    assert group.join(30)
    assert passed == [0, 1, 2]


def test_an_opening_survives_a_waiter_that_dies() -> None:
    gate = Gate()
    with Group("test") as group:
        waiter = group.spawn(gate.wait)
        sleep(0)
        _throw_into(waiter, StreamClosed("over"))
        gate.open()
        assert group.join(30)
    with deadline(1, Late()):
        gate.wait()


def test_a_timer_once() -> None:
    rang = Event()
    timer = Timer(0.001, rang.set)
    assert rang.wait(30)
    rang.clear()
    assert not rang.wait(0.005)
    timer.stop()
    timer.stop()


def test_a_timer_again_and_again_until_it_is_stopped() -> None:
    rings: list[int] = []
    timer = Timer(0.001, lambda: rings.append(1), repeat=True)
    wait_until(lambda: len(rings) >= 3, "it does not repeat")
    timer.stop()
    count = len(rings)
    sleep(0.005)
    assert len(rings) == count
