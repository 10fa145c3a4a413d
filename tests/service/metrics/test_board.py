from __future__ import annotations

import os
import signal
import struct

import pytest

from gproxy.limit.memory import Memory, started
from gproxy.service.metrics.board import Board, Shown

pytestmark = pytest.mark.usefixtures("no_leaks")


def test_what_is_shown_replaces_what_was_shown() -> None:
    memory = Memory()
    board = Board(memory)
    board.join()
    board.show(Shown(0, 1, "starting"))
    board.show(Shown(0, 1, "serving", gauges=[("open", ["in"], 5)]))
    (seen,) = Board(memory).read()
    assert (seen.worker, seen.generation, seen.state, seen.gauges) == (0, 1, "serving", [("open", ["in"], 5.0)])
    assert (seen.process, Shown(-1).process) == ("worker0", "control")


def test_who_has_joined_and_shown_nothing_is_not_seen() -> None:
    board = Board(Memory())
    board.join()
    assert list(board.read()) == []


def test_a_dead_process_shows_nothing_and_its_place_is_another_s() -> None:
    board = Board(Memory())
    ready, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        board.join()
        board.show(Shown(3, 1, "serving"))
        os.write(tell, b"x")
        signal.pause()
    os.read(ready, 1)
    os.close(ready)
    os.close(tell)
    assert [each.worker for each in board.read()] == [3]
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert list(board.read()) == []
    board.join()
    board.show(Shown(4, 1, "serving"))
    assert [each.worker for each in board.read()] == [4]


def test_who_writes_just_now_is_seen_when_he_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half way through, his length is nothing."""
    memory = Memory()
    writer, reader = Board(memory), Board(memory)
    writer.join()
    writer.show(Shown(0, 1, "starting"))
    mapped = memory.section("board 1", 64 * 64 * 1024).mapped
    (sequence,) = struct.unpack_from("=Q", mapped, 16)
    struct.pack_into("=QQ", mapped, 16, sequence + 1, 0)

    goes_on = [Shown(0, 1, "serving")]

    def looks(pid: int) -> int:
        while goes_on:
            writer.show(goes_on.pop())
        return started(pid)

    monkeypatch.setattr("gproxy.service.metrics.board.started", looks)
    assert [each.state for each in reader.read()] == ["serving"]


def test_who_leaves_is_not_seen() -> None:
    board = Board(Memory())
    board.join()
    board.show(Shown(0))
    board.leave()
    board.leave()
    assert list(board.read()) == []


def test_what_is_too_much_is_left_out() -> None:
    board = Board(Memory())
    board.join()
    board.show(Shown(0, gauges=[("open", [f"inbound {index}" * 10], 1) for index in range(3000)]))
    (seen,) = board.read()
    assert 100 < len(seen.gauges) < 3000


def test_what_nobody_understands_is_not_seen() -> None:
    memory = Memory()
    board = Board(memory)
    board.join()
    board.show(Shown(0))
    place = memory.section("board 1", 64 * 64 * 1024).mapped
    place[32:36] = b"what"
    assert list(board.read()) == []
