from __future__ import annotations

from collections.abc import Callable

import pytest

from gproxy.base.errors import CloseReason
from gproxy.base.iface import Stream
from gproxy.engine.table import Table
from gproxy.relay import firstword as room
from gproxy.relay import relay
from gproxy.relay.firstword import FirstWord, Listened
from gproxy.rt.group import Group
from gproxy.rt.sync import sleep
from tests.conformance.streams import framed_with_a_head_pair, tcp_pair
from tests.support.pipe import PipeEnd, pipe
from tests.support.playbook import new_session

pytestmark = pytest.mark.usefixtures("no_leaks")


class Sides:
    """client = left, right = server."""

    def __init__(self) -> None:
        self.client: PipeEnd
        self.client, self.left = pipe()
        self.right, self.server = pipe()
        self.word = FirstWord(self.left, self.right)
        self._group = Group("test")

    def wait_after(self, event: Callable[[], object]) -> FirstWord:
        """What is known when this has happened while it waits."""
        self._group.spawn(self.word.wait)
        sleep(0)
        sleep(0)
        event()
        assert self._group.join(30), "it does not end"
        return self.word


@pytest.fixture
def sides() -> Sides:
    return Sides()


def test_the_server(sides: Sides) -> None:
    word = sides.wait_after(lambda: sides.server.sendall(b"220 ready"))
    assert word.first == "right"
    assert word.right.take() == b"220 ready"
    sides.client.sendall(b"hello")
    assert word.left.recv() == b"hello"


def test_the_client(sides: Sides) -> None:
    word = sides.wait_after(lambda: sides.client.sendall(b"hello"))
    assert word.first == "left"
    assert word.left.take() == b"hello"
    sides.server.sendall(b"220 ready")
    assert word.right.recv() == b"220 ready"


@pytest.mark.parametrize("side", ["client", "server"])
def test_an_end_is_no_word(sides: Sides, side: str) -> None:
    word = sides.wait_after(getattr(sides, side).close_write)
    assert word.first == ""
    ended, other = (word.left, sides.server) if side == "client" else (word.right, sides.client)
    assert ended.recv() == b""
    other.sendall(b"still there")
    assert (word.right if side == "client" else word.left).recv() == b"still there"


@pytest.mark.parametrize(("side", "culprit"), [("client", "left"), ("server", "right")])
def test_a_break_is_told_to_the_relay(sides: Sides, side: str, culprit: str) -> None:
    word = sides.wait_after(getattr(sides, side).abort)
    assert word.first == ""
    outcome = relay(word.left, word.right)
    assert (outcome.ended, outcome.culprit) == ("reset", culprit)


def test_what_came_before_the_break_is_kept(sides: Sides) -> None:
    sides.server.sendall(b"all of it")
    word = sides.wait_after(lambda: None)
    sides.server.close_write()
    sides.client.close_write()
    outcome = relay(word.left, word.right)
    assert (outcome.ended, outcome.down) == ("ok", 9)
    assert sides.client.recv() == b"all of it"


def test_nobody_speaks(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "FIRST_WORD", 0.02)
    word = sides.wait_after(lambda: None)
    assert word.first == ""
    sides.client.sendall(b"later")
    assert word.left.recv() == b"later"


@pytest.mark.parametrize("reason", ["killed", "drained"])
def test_an_end_from_outside_is_told_to_the_relay(sides: Sides, reason: CloseReason) -> None:
    table, session = Table(), new_session()

    def wait() -> None:
        table.add(session)
        sides.word.wait()

    with Group("test") as group:
        group.spawn(wait)
        sleep(0)
        sleep(0)
        assert table.end(session.id, reason)
        assert group.join(30)
    outcome = relay(sides.word.left, sides.word.right)
    assert (outcome.ended, outcome.culprit) == (reason, "")


def _listened(make: Callable[[], tuple[Stream, Stream]]) -> tuple[Listened, Stream]:
    near, far = make()
    return Listened(near), far


def test_a_stream_is_bare_again_when_its_first_word_is_taken() -> None:
    near, far = _listened(tcp_pair)
    far.sendall(b"word")
    assert near.listen()
    assert near.bare() is None
    assert near.take() == b"word"
    assert near.bare() == near.inner.bare()
    near.close()
    far.close()


def test_a_head_that_waits_is_sent_first() -> None:
    near, far = _listened(framed_with_a_head_pair)
    assert near.held()
    far.sendall(b"word")
    assert near.listen()
    assert not near.held()
    assert near.take() == b"word"
    assert near.record() is not None
    near.close()
    far.close()
