"""The table that workers share: forked processes see each other's answers, and nothing half written is believed."""

from __future__ import annotations

import os
import random

import pytest

from gproxy.dns.shared import PLACE, Shared

MESSAGE = b"an answer"


def test_what_is_put_is_got():
    shared = Shared(64)
    assert shared.get(b"key") is None
    shared.put(b"key", MESSAGE, 12.5, 300)
    assert shared.get(b"key") == (MESSAGE, 12.5, 300)
    shared.put(b"key", b"another", 13.5, 301)
    assert shared.get(b"key") == (b"another", 13.5, 301)
    assert shared.get(b"ke") is None
    assert shared.get(b"keyan") is None
    shared.clear()
    assert shared.get(b"key") is None


def test_what_does_not_fit_is_left_out():
    shared = Shared(64)
    largest = PLACE - 32 - 3
    shared.put(b"key", bytes(largest), 1.0, 1)
    assert shared.get(b"key") == (bytes(largest), 1.0, 1)
    shared.put(b"key", bytes(largest + 1), 2.0, 2)
    assert shared.get(b"key") == (bytes(largest), 1.0, 1)


def test_what_ends_first_is_written_over():
    shared = Shared(4)  # one row
    for number in range(4):
        shared.put(b"%d" % number, MESSAGE, 10.0 + number, 1)
    shared.put(b"new", MESSAGE, 99.0, 1)
    assert shared.get(b"0") is None
    assert all(shared.get(key) for key in (b"1", b"2", b"3", b"new"))
    shared.put(b"2", b"newer", 99.0, 1)
    assert all(shared.get(key) for key in (b"1", b"2", b"3", b"new"))


def test_nearly_all_that_there_is_room_for_fits():
    shared = Shared(4096)
    for number in range(2048):
        shared.put(b"%d" % number, MESSAGE, 10.0 + number, 1)
    assert sum(shared.get(b"%d" % number) is not None for number in range(2048)) > 2048 * 0.9


def test_forked_processes_share():
    shared = Shared(64)
    child = os.fork()
    if not child:
        shared.put(b"key", MESSAGE, 5.0, 6)
        os._exit(0)
    os.waitpid(child, 0)
    assert shared.get(b"key") == (MESSAGE, 5.0, 6)


@pytest.mark.parametrize("at", [0, 7, 8, 15, 16, 23, 24, 27, 28, 29, 30, 31, 32, 34, 35, 43])
def test_a_changed_byte_makes_it_nothing(at):
    shared = Shared(4)
    shared.put(b"key", MESSAGE, 5.0, 6)
    place = next(at for at in range(0, 4 * PLACE, PLACE) if shared._memory[at : at + 8] != bytes(8))
    shared._memory[place + at] ^= 0x10
    assert shared.get(b"key") is None
    shared.put(b"key", MESSAGE, 7.0, 8)
    assert shared.get(b"key") == (MESSAGE, 7.0, 8)


def test_a_writer_that_was_killed_leaves_nothing_or_the_whole():
    """Whatever part of the new content has been written over the old."""
    shared = Shared(4)
    shared.put(b"key", b"old" * 30, 5.0, 6)
    old = shared._memory[:]
    shared.put(b"key", b"new" * 40, 7.0, 8)
    new = shared._memory[:]
    for end in range(len(new)):
        shared._memory[:] = new[:end] + old[end:]
        assert shared.get(b"key") in (None, (b"old" * 30, 5.0, 6), (b"new" * 40, 7.0, 8))


def test_garbage_is_nothing():
    shared = Shared(4)
    rng = random.Random(1)
    for _ in range(200):
        shared._memory[:] = rng.randbytes(4 * PLACE)
        assert shared.get(b"key") is None
        shared.put(b"key", MESSAGE, 7.0, 8)
        assert shared.get(b"key") == (MESSAGE, 7.0, 8)


def test_writers_in_several_processes_never_make_a_wrong_answer():
    shared = Shared(4)
    children = []
    for number in range(2):
        child = os.fork()
        if not child:
            try:
                for turn in range(3000):
                    shared.put(b"key%d" % (turn % 6), bytes([65 + number]) * (40 + turn % 300), float(turn), number)
            finally:
                os._exit(0)
        children.append(child)
    seen = 0
    try:
        writing = True
        while writing:  # as long as they write, and once more
            writing = any(os.waitid(os.P_PID, one, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None for one in children)
            for number in range(6):
                found = shared.get(b"key%d" % number)
                if found is not None:
                    seen += 1
                    message, _, writer = found
                    assert message == bytes([65 + writer]) * len(message)
    finally:
        for child in children:
            os.waitpid(child, 0)
    assert seen
