from __future__ import annotations

import pytest

from gproxy.base.clock import now
from gproxy.base.errors import AuthError
from gproxy.base.session import Session
from gproxy.net.unwelcome import swallow
from gproxy.rt.deadline import deadline
from gproxy.rt.group import Group
from gproxy.rt.sync import sleep
from tests.support.pipe import pipe
from tests.support.playbook import new_session

pytestmark = pytest.mark.usefixtures("no_leaks")

WHY = AuthError("wrong")


class Late(Exception):
    """A deadline of a test."""


def test_it_reads_to_the_end_and_says_nothing() -> None:
    near, far = pipe(chunk=4)
    far.sendall(b"let me in")
    far.close_write()
    swallow(near, now() + 60, new_session(), WHY)
    assert near.unread == far.unread == b""
    assert not near.closed


def test_a_silent_peer_is_waited_for_until_the_deadline() -> None:
    near, far = pipe()
    began = now()
    swallow(near, began + 0.05, new_session(), WHY)
    assert now() - began >= 0.05
    assert far.unread == b""


def test_a_peer_that_never_stops_is_left_at_the_deadline_too() -> None:
    near, far = pipe(capacity=100)
    with Group("test") as group:
        talking = group.spawn(far.sendall, bytes(1_000_000))
        began = now()
        swallow(near, began + 0.05, new_session(), WHY)
        assert now() - began >= 0.05
        assert not talking.ready()
        group.kill()


def test_a_peer_that_sends_much_keeps_nobody_busy() -> None:
    """It is read slowly, so that its own buffers fill up."""
    near, far = pipe(capacity=100)
    reads = 0

    class Counted:
        def recv(self) -> bytes:
            nonlocal reads
            reads += 1
            return near.recv()

    with Group("test") as group:
        group.spawn(far.sendall, bytes(1_000_000))
        sleep(0)
        swallow(Counted(), now() + 0.2, new_session(), WHY)  # type: ignore[arg-type]
        group.kill()
    assert 1 <= reads <= 6


@pytest.mark.parametrize("late", [0.0, 1.0])
def test_when_the_time_is_over_nothing_is_read(late: float) -> None:
    near, far = pipe()
    far.sendall(b"let me in")
    swallow(near, now() - late, new_session(), WHY)
    assert near.unread == b"let me in"


def test_a_peer_that_breaks_off_is_no_error() -> None:
    near, far = pipe()
    far.abort()
    swallow(near, now() + 60, new_session(), WHY)


def test_a_deadline_around_it_is_not_its_own() -> None:
    near, _ = pipe()
    with pytest.raises(Late), deadline(0.01, Late()):
        swallow(near, now() + 60, new_session(), WHY)


@pytest.mark.parametrize("late", [0.05, -1.0])
def test_that_the_session_has_failed_is_told_before_that(late: float) -> None:
    near, far = pipe()
    session, told = new_session(), []

    class Watcher:
        def failed(self, session: Session, why: Exception) -> None:
            told.append((session, why, now()))

    session.watcher = Watcher()
    until = now() + late
    swallow(near, until, session, WHY)
    ((who, why, at),) = told
    assert (who, why) == (session, WHY)
    assert at < until or late < 0
    session.fail(WHY)
    assert len(told) == 1
    assert far.unread == b""
