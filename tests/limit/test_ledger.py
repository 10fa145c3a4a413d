from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from gproxy.base.clock import now
from gproxy.limit import ledger as module
from gproxy.limit.ledger import Entry, Ledger, Row
from gproxy.limit.memory import Memory
from tests.support.clock import HeldClock, held_clock

__all__ = ["held_clock"]

pytestmark = pytest.mark.usefixtures("no_leaked_descriptors")


def joined(memory: Memory | None = None) -> Ledger:
    ledger = Ledger(memory or Memory())
    ledger.join()
    return ledger


def tokens(ledger: Ledger, row: Row, which: int, rate: float, burst: float) -> float:
    ledger.use(row, now())
    return ledger.charge(row, which, rate, burst, now())


def take(ledger: Ledger, row: Row, which: int, rate: float, burst: float) -> bool:
    ledger.use(row, now())
    return ledger.charge(row, which, rate, burst, now(), 1, 1) >= 1


def spend(ledger: Ledger, row: Row, which: int, amount: int) -> None:
    ledger.use(row, now())
    ledger.spend(row, which, amount)


def enter(ledger: Ledger, row: Row, which: int) -> Entry:
    ledger.use(row, now())
    return ledger.enter(row, which)


def count(ledger: Ledger, row: Row, which: int) -> int:
    ledger.use(row, now())
    return ledger.count(row, which)


def place(ledger: Ledger, key: bytes) -> int:
    row = ledger.row(key)
    ledger.use(row, now())
    return row.at


def test_a_key_keeps_its_row() -> None:
    ledger = joined()
    rows = {place(ledger, b"%d" % number): number for number in range(1000)}
    assert len(rows) == 1000
    assert all(place(ledger, b"%d" % number) == at for at, number in rows.items())


def test_a_bucket_fills_at_its_rate(held_clock: HeldClock) -> None:
    ledger = joined()
    row = ledger.row(b"key")
    assert [take(ledger, row, 0, 2.0, 3.0) for _ in range(5)] == [True, True, True, False, False]
    held_clock.advance(0.5)
    assert [take(ledger, row, 0, 2.0, 3.0) for _ in range(2)] == [True, False]
    held_clock.advance(1000)
    assert [take(ledger, row, 0, 2.0, 3.0) for _ in range(4)] == [True, True, True, False], "no more than the burst"
    assert take(ledger, row, 1, 2.0, 3.0), "another rate is another bucket"
    assert take(ledger, ledger.row(b"other"), 0, 2.0, 3.0)


def test_debts_are_paid_first(held_clock: HeldClock) -> None:
    ledger = joined()
    row = ledger.row(b"key")
    assert tokens(ledger, row, 1, 1000.0, 500.0) == 500
    ledger.spend(row, 1, 2500)
    assert tokens(ledger, row, 1, 1000.0, 500.0) == -2000
    held_clock.advance(1.5)
    assert tokens(ledger, row, 1, 1000.0, 500.0) == -500


@pytest.mark.parametrize("rate", [0.5, 20.0])
def test_a_rate_that_changes_keeps_what_there_is(rate: float, held_clock: HeldClock) -> None:
    ledger = joined()
    row = ledger.row(b"key")
    for _ in range(1000):
        held_clock.advance(1)
        assert take(ledger, row, 0, 2.0, 10.0)
    ledger.spend(row, 0, 4)
    left = tokens(ledger, row, 0, 2.0, 10.0)
    assert tokens(ledger, row, 0, rate, 10.0) == pytest.approx(left)
    held_clock.advance(1)
    assert tokens(ledger, row, 0, rate, 10.0) == pytest.approx(min(10.0, left + rate))


def test_what_is_open() -> None:
    ledger = joined()
    row = ledger.row(b"key")
    entries = [enter(ledger, row, 2) for _ in range(3)]
    ledger.leave(entries[0])
    assert [count(ledger, row, which) for which in range(3)] == [0, 0, 2]


def test_the_idlest_gives_way_and_what_is_open_stays(held_clock: HeldClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROWS", 8)
    ledger = joined()
    first = ledger.row(b"first")
    entry = enter(ledger, first, 0)
    others = [ledger.row(b"%d" % number) for number in range(7)]
    for row in others:
        held_clock.advance(10)
        spend(ledger, row, 0, 5)
    held_clock.advance(10)
    ledger.use(others[0], now())
    held_clock.advance(10)
    assert place(ledger, b"new") == others[1].at, "the longest unused one has something open"
    assert tokens(ledger, ledger.row(b"0"), 0, 1.0, 100.0) == 100
    assert tokens(ledger, ledger.row(b"new"), 0, 1.0, 9.0) == 9, "what was spent was another's"
    opened = []
    for number in range(20):  # with all of them open, the longest unused one has to go all the same
        held_clock.advance(10)
        opened.append((enter(ledger, ledger.row(b"open %d" % number), 0), number))
    [(theirs, number)] = [each for each in opened if each[0][0] == entry[0]][-1:]
    ledger.leave(entry)
    assert count(ledger, ledger.row(b"open %d" % number), 0) == 1, "what is left is another's by now"
    ledger.leave(theirs)
    assert count(ledger, ledger.row(b"open %d" % number), 0) == 0


def test_a_row_that_was_given_to_another_key_is_found_a_place_anew(
    held_clock: HeldClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ROWS", 8)
    ledger = joined()
    kept = ledger.row(b"kept")
    assert take(ledger, kept, 0, 1.0, 5.0)
    for number in range(8):
        held_clock.advance(1)
        ledger.use(ledger.row(b"%d" % number), now())
    assert tokens(ledger, kept, 0, 1.0, 5.0) == 5
    assert not any(place(ledger, b"%d" % number) == kept.at for number in range(3, 8))


TAKER = """
import sys
from gproxy.base.clock import now
from gproxy.limit.ledger import Ledger
from gproxy.limit.memory import Memory
ledger = Ledger(Memory.adopt(int(sys.argv[1])))
ledger.join()
row = ledger.row(b"key")
print("ready", flush=True)
def take():
    return ledger.charge(row, 0, 1e-6, 1000.0, now(), 1, 1) >= 1
for line in sys.stdin:
    ledger.use(row, now())
    if line == "enter\\n":
        ledger.enter(row, 0)
    taken = sum(take() for _ in range(200)) if line == "take\\n" else 0
    print(taken, ledger.count(row, 0), flush=True)
"""


class Taker:
    def __init__(self, memory: Memory) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", TAKER, str(memory.fd)],
            pass_fds=[memory.fd], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.heard() == "ready"

    def heard(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def say(self, what: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()

    def ask(self, what: str) -> str:
        self.say(what)
        return self.heard()

    def end(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.communicate()


def test_processes_share_a_bucket_and_what_is_open() -> None:
    memory = Memory()
    takers = [Taker(memory) for _ in range(2)]
    taken = 0
    for _ in range(5):
        for each in takers:
            each.say("take")
        taken += sum(int(each.heard().split()[0]) for each in takers)
    assert 1000 <= taken <= 1001, "two that decide at the same moment may both take the last one"
    assert takers[0].ask("enter") == "0 1"
    assert takers[1].ask("enter") == "0 2"
    assert takers[0].ask("look") == "0 2"
    for each in takers:
        each.end()


def test_what_a_killed_process_had_open_is_gone_and_what_it_has_spent_is_not() -> None:
    memory = Memory()
    ledger = joined(memory)
    row = ledger.row(b"key")
    taker = Taker(memory)
    assert taker.ask("enter") == "0 1"
    assert taker.ask("take") == "200 1"
    assert count(ledger, row, 0) == 1
    taker.end(signal.SIGKILL)
    later = Taker(memory)  # the one that takes its place
    assert count(ledger, row, 0) == 0
    assert tokens(ledger, row, 0, 1e-6, 1000.0) == pytest.approx(800, abs=0.1)
    assert later.ask("take") == "200 0"
    later.end()


def test_a_column_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many processes come and go."""
    memory = Memory()
    ledger = joined(memory)
    rows = [ledger.row(b"%d" % number) for number in range(100)]
    sizes = []
    for start in range(1, 5):
        monkeypatch.setattr(module, "started", lambda pid, start=start: start)  # each time all others are over
        ledger.join()
        assert all(take(ledger, row, 0, 1e-6, 10.0) for row in rows)
        sizes.append(os.fstat(memory.fd).st_blocks)
    assert {round(tokens(ledger, row, 0, 1e-6, 10.0)) for row in rows} == {6}
    assert sizes[1] == sizes[3]


def test_there_is_an_end_to_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Memory()
    for _ in range(63):
        joined(memory)
    with pytest.raises(OSError, match="too many"):
        joined(memory)
    monkeypatch.setattr(os, "getpid", lambda: 2**22 + 1)  # nobody's: it is over at once
    monkeypatch.setattr(module, "started", lambda pid: 0)
    joined(memory)


def test_other_ledgers_have_other_places() -> None:
    """So nobody can find out on a gproxy of his own whose rows collide."""
    places = {tuple(place(ledger, b"%d" % number) for number in range(4)) for ledger in (joined(), joined(), joined())}
    assert len(places) == 3
