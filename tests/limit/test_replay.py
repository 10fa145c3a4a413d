from __future__ import annotations

import hashlib
import mmap
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from gproxy.base import clock
from gproxy.base.errors import Overloaded
from gproxy.base.wiring import SaltFilter
from gproxy.limit import replay
from gproxy.limit.memory import Memory
from gproxy.limit.replay import SPAN, Salts, open_replays
from tests.support.clock import HeldClock

# How long a handshake that carries its time may be replayed: it is taken 30 s too early and 30 s too late, and the
# seconds are whole.
GOOD_FOR = 61.0


def salts(count: int, what: str = "salt") -> list[bytes]:
    return [hashlib.sha256(f"{what} {number}".encode()).digest() for number in range(count)]


def small(windows: int, *, timed: bool) -> Salts:
    """A filter that is soon full."""
    return Salts.open(Memory(), "small", windows, timed=timed)


def both(memory: Memory) -> list[SaltFilter]:
    replays = open_replays(memory)
    return [replays.recent, replays.lasting]


@pytest.mark.parametrize("which", [0, 1], ids=["recent", "lasting"])
def test_only_the_first_time(which: int) -> None:
    known = both(Memory())[which]
    for salt in salts(2000):
        assert known.first(salt)
    assert not any(known.first(salt) for salt in salts(2000))


def test_the_two_know_nothing_of_each_other() -> None:
    recent, lasting = both(Memory())
    assert recent.first(b"salt")
    assert lasting.first(b"salt")
    assert not recent.first(b"salt")
    assert not lasting.first(b"salt")


def test_whoever_has_the_descriptor_knows_too() -> None:
    memory = Memory()
    assert all(each.first(b"salt") for each in both(memory))
    again = Memory.adopt(os.dup(memory.fd))
    assert not any(each.first(b"salt") for each in both(again))


def test_other_memories_have_other_keys() -> None:
    """So nobody can find out on a gproxy of his own which salts collide."""
    keys = {each._key for memory in [Memory() for _ in range(3)] for each in both(memory) if isinstance(each, Salts)}
    assert len(keys) == 6
    assert bytes(32) not in keys


@pytest.mark.parametrize("offset", [0.0, 1.0, SPAN / 2, SPAN - 0.001])
def test_a_minute_is_remembered_exactly(offset: float, held_clock: HeldClock) -> None:
    """From wherever in a span, and whatever else happens meanwhile."""
    recent, _ = both(Memory())
    held_clock.advance(SPAN - held_clock.now() % SPAN + offset)
    assert recent.first(b"salt")
    passed = 0.0
    while passed + 0.5 <= GOOD_FOR:
        held_clock.advance(0.5)
        passed += 0.5
        assert not recent.first(b"salt"), passed
        recent.first(str(passed).encode())
    held_clock.advance(3 * SPAN)
    assert recent.first(b"salt"), "it can be taken again, when its time is long over"


def test_a_minute_is_remembered_in_silence(held_clock: HeldClock) -> None:
    """Nobody turns the segments while nothing happens."""
    recent, _ = both(Memory())
    held_clock.advance(SPAN - held_clock.now() % SPAN)
    for number in range(40):
        salt = str(number).encode()
        assert recent.first(salt)
        held_clock.advance(GOOD_FOR)
        assert not recent.first(salt)
        held_clock.advance(number * 7.0)


def test_the_time_of_day_means_nothing(held_clock: HeldClock) -> None:
    """A clock that was a year ahead for a moment neither forgets nor fills a segment up for a year."""
    recent = small(64, timed=True)
    assert recent.first(b"before")
    year = 365 * 86400
    clock.wall.hold(lambda: held_clock.wall() + year)
    assert not recent.first(b"before")
    assert recent.first(b"ahead")
    clock.wall.hold(lambda: held_clock.wall() - year)
    assert not recent.first(b"before")
    assert not recent.first(b"ahead")
    for _ in range(10):
        for salt in salts(60, str(held_clock.now())):
            assert recent.first(salt)
        held_clock.advance(SPAN)


def test_full_by_time_takes_no_more_until_the_next_span(held_clock: HeldClock) -> None:
    """Forgetting would let a replay in."""
    recent = small(64, timed=True)
    held_clock.advance(SPAN - held_clock.now() % SPAN)
    taken: list[bytes] = []
    with pytest.raises(Overloaded, match="no room") as caught:
        for salt in salts(1000):
            assert recent.first(salt)
            taken.append(salt)
    assert caught.value.word == "overload-replay"
    assert len(taken) > 64 * 3, "it is filled to three quarters at least"
    for _ in range(2):
        assert not any(recent.first(salt) for salt in taken), "and it knows all that it took"
        held_clock.advance(SPAN)
        assert recent.first(str(held_clock.now()).encode())
    held_clock.advance(SPAN)
    assert all(recent.first(salt) for salt in taken[:100])


def test_full_by_number_forgets_the_oldest() -> None:
    lasting = small(64, timed=False)
    each = 64 * 3
    many = salts(10 * each)
    for salt in many:
        assert lasting.first(salt)
    newest = many[-2 * each :]
    assert not any(lasting.first(salt) for salt in newest), "two segments are full, or one is and the next begins"
    assert lasting.first(many[0])


def test_no_salt_is_lost_where_windows_meet() -> None:
    """The last window reaches behind the others, and every tag is found where it was put."""
    lasting = small(4, timed=False)
    assert [lasting.first(salt) for salt in salts(12)] == [True] * 12
    assert not any(lasting.first(salt) for salt in salts(12))


def tagged(monkeypatch: pytest.MonkeyPatch, tag_of: Callable[[bytes], bytes]) -> None:
    class Hash:
        def __init__(self, salt: bytes, **_: Any) -> None:
            self.salt = salt

        def digest(self) -> bytes:
            return tag_of(self.salt)

    monkeypatch.setattr(replay, "blake2b", Hash)


def test_a_tag_like_a_free_place(monkeypatch: pytest.MonkeyPatch) -> None:
    tagged(monkeypatch, lambda salt: bytes(8))
    recent, _ = both(Memory())
    assert recent.first(b"any")
    assert not recent.first(b"any")


def test_a_tag_across_two_places_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of these are in the same window, and two of them side by side contain the third."""
    tagged(monkeypatch, bytes)
    recent, _ = both(Memory())
    assert recent.first(b"\0\0\0\0ABCD")
    assert recent.first(b"\0\0\0\0EFGH")
    assert recent.first(b"\0\0\0\0\0\0\0I")
    assert recent.first(b"\0\0\0\0\0\0\0J"), "the end of a tag and a free place look like another tag"
    assert recent.first(b"CD\0\0\0\0EF")
    assert not recent.first(b"\0\0\0\0EFGH")
    assert not recent.first(b"CD\0\0\0\0EF")


def test_it_is_closed_with_the_last_who_uses_it(no_leaked_descriptors: None) -> None:
    replays = open_replays(Memory())
    assert replays.recent.first(b"salt")
    lasting = replays.lasting
    del replays
    assert lasting.first(b"salt")


def test_what_was_never_used_takes_no_room() -> None:
    memory = Memory()
    recent, lasting = both(memory)
    assert recent.first(b"one")
    assert lasting.first(b"one")
    assert os.fstat(memory.fd).st_blocks * 512 <= 16 * mmap.PAGESIZE


def test_what_was_forgotten_takes_no_room(held_clock: HeldClock) -> None:
    memory = Memory()
    recent, _ = both(memory)
    for _ in range(4):
        for salt in salts(500, str(held_clock.now())):
            assert recent.first(salt)
        held_clock.advance(SPAN)
    held_clock.advance(3 * SPAN)
    assert recent.first(b"one")
    assert os.fstat(memory.fd).st_blocks * 512 <= 16 * mmap.PAGESIZE


# -- other processes ---------------------------------------------------------------------------------------------------

RACER = """
import hashlib, sys
from gproxy.limit.memory import Memory
from gproxy.limit.replay import open_replays
replays = open_replays(Memory.adopt(int(sys.argv[1])))
print("ready", flush=True)
for lap in sys.stdin:
    for number in range(int(sys.argv[2])):
        salt = hashlib.sha256(b"%s %d" % (lap.encode(), number)).digest()
        sys.stdout.write("01"[replays.recent.first(salt)] + "01"[replays.lasting.first(salt)])
    print(flush=True)
"""

HOLDER = """
import sys, time
from gproxy.limit.memory import Memory
from gproxy.limit.replay import open_replays
replays = open_replays(Memory.adopt(int(sys.argv[1])))
replays.recent._section.lock()
print("held", flush=True)
time.sleep(60)
"""


def start(code: str, memory: Memory, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, str(memory.fd), *map(str, arguments)],
        pass_fds=[memory.fd],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_processes_at_once() -> None:
    """Exactly one of them says first, for each salt and in each filter."""
    memory = Memory()
    laps, count = 50, 100
    racers = [start(RACER, memory, count) for _ in range(2)]
    said = {each.pid: "" for each in racers}
    for each in racers:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for lap in range(laps):
        # They take turns at being told first: so each wins something even where one is done before the other wakes.
        for each in racers if lap % 2 else reversed(racers):
            assert each.stdin is not None
            each.stdin.write(f"{lap}\n")
            each.stdin.flush()
        for each in racers:
            assert each.stdout is not None
            said[each.pid] += each.stdout.readline().rstrip("\n")
    for each in racers:
        each.communicate(timeout=50)
    one, other = said.values()
    assert [each.returncode for each in racers] == [0, 0]
    assert len(one) == 2 * laps * count
    assert all(mine + its in {"01", "10"} for mine, its in zip(one, other, strict=True))
    assert "1" in one, "they did race"
    assert "1" in other, "they did race"


def test_a_holder_that_is_killed_holds_no_more() -> None:
    memory = Memory()
    holder = start(HOLDER, memory)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    recent, lasting = both(memory)
    assert lasting.first(b"salt"), "the other filter has a lock of its own"
    waiting = start(RACER, memory, 1)
    assert waiting.stdout is not None
    assert waiting.stdout.readline() == "ready\n"
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate()
    assert waiting.communicate("go\n", timeout=20)[0] == "11\n"
    assert recent.first(b"salt")


def test_a_fork_shares_it() -> None:
    """As workers do: the filters are made before they are forked."""
    recent, lasting = both(Memory())
    pid = os.fork()
    if pid == 0:
        os._exit(recent.first(b"salt") + 2 * lasting.first(b"salt"))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
    assert not recent.first(b"salt")
    assert not lasting.first(b"salt")


class Killed(BaseException):
    """In place of a SIGKILL."""


@pytest.mark.parametrize("timed", [True, False])
def test_a_holder_that_dies_in_the_middle(timed: bool, held_clock: HeldClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn that was begun is begun again: nothing of what must be remembered is lost, and nothing comes back."""
    known = small(64, timed=timed)
    held_clock.advance(SPAN - held_clock.now() % SPAN)
    each = 64 * 3
    before = salts(each, "before")
    assert all(known.first(salt) for salt in before)
    held_clock.advance(SPAN)
    state = replay._STATE

    class Dying:
        unpack_from = state.unpack_from

        @staticmethod
        def pack_into(*_: object) -> None:
            raise Killed

    monkeypatch.setattr(replay, "_STATE", Dying)
    with pytest.raises(Killed):
        known.first(b"never served")
    monkeypatch.setattr(replay, "_STATE", state)
    assert not any(known.first(salt) for salt in before)
    after = salts(each, "after")
    assert all(known.first(salt) for salt in after)
    assert not any(known.first(salt) for salt in before + after)
