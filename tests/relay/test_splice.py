from __future__ import annotations

import os
import resource
from collections.abc import Iterator

import pytest

from gproxy.relay import splice as room
from gproxy.relay.splice import Pipe
from tests.conformance.streams import unix_pair


@pytest.fixture(autouse=True)
def no_spares(no_leaks: None) -> Iterator[None]:
    """None at the beginning, and none left over."""
    _drop()
    yield
    _drop()


def _drop() -> None:
    while Pipe._spare:
        Pipe._spare.pop().destroy()


def test_bytes_go_through_it_without_being_seen() -> None:
    (near, source), (target, far) = unix_pair(), unix_pair()
    pipe = Pipe.lend()
    assert pipe is not None
    near.sendall(b"payload")
    assert pipe.fill(source._sock.fileno()) == 7  # type: ignore[union-attr]
    assert pipe.drain(target._sock.fileno())  # type: ignore[union-attr]
    assert far.recv() == b"payload"
    with pytest.raises(BlockingIOError):
        pipe.fill(source._sock.fileno())  # type: ignore[union-attr]
    near.close_write()
    assert pipe.fill(source._sock.fileno()) == 0  # type: ignore[union-attr]
    pipe.destroy()
    for stream in (near, source, target, far):
        stream.close()


def test_a_target_that_is_full_leaves_the_rest_inside() -> None:
    (near, source), (target, far) = unix_pair(), unix_pair()
    pipe = Pipe.lend()
    assert pipe is not None
    fd, out = source._sock.fileno(), target._sock.fileno()  # type: ignore[union-attr]
    sent = b""
    while True:
        near.sendall(piece := os.urandom(10_000))
        sent += piece
        assert pipe.fill(fd) == 10_000
        if not pipe.drain(out):
            break
    assert not pipe.drain(out)
    received = b""
    while len(received) < len(sent):
        received += far.recv()
        pipe.drain(out)
    assert received == sent
    pipe.destroy()
    for stream in (near, source, target, far):
        stream.close()


def test_an_empty_one_is_lent_again_and_only_some_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_SPARE", 2)
    pipes = [Pipe.lend() for _ in range(4)]
    for pipe in pipes:
        assert pipe is not None
        pipe.give_back()
    assert len(Pipe._spare) == 2
    again = Pipe.lend()
    assert again in pipes
    assert again is not None
    assert len(Pipe._spare) == 1
    again.destroy()


def test_without_descriptors_there_is_none() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        assert Pipe.lend() is None
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
