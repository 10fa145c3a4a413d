from __future__ import annotations

from gproxy.limit.ledger import Ledger
from gproxy.limit.memory import Memory
from gproxy.limit.tolls import Budget, SharedToll
from tests.support.clock import HeldClock, held_clock

__all__ = ["held_clock"]


def ledger() -> Ledger:
    made = Ledger(Memory())
    made.join()
    return made


def test_pieces_are_of_the_rate() -> None:
    book = ledger()
    pieces = [SharedToll(book, (Budget(book.row(b"x"), 1, rate, 1.0),)).piece for rate in (1.0, 1e6, 1e9)]
    assert pieces == [4096, 20_000, 1024 * 1024]
    slacks = [SharedToll(book, (Budget(book.row(b"x"), 1, rate, 1.0),)).slack for rate in (1.0, 1e6, 1e10)]
    assert slacks == [0, 1000, 1024 * 1024], "a thousandth of a second's"
    fast, slow = (SharedToll(book, (Budget(book.row(b"x"), 1, rate, 1.0),)) for rate in (1e9, 1e6))
    assert fast.and_of(slow).piece == slow.and_of(fast).piece == 20_000


def test_the_longest_wait_counts(held_clock: HeldClock) -> None:
    book = ledger()
    fast = SharedToll(book, (Budget(book.row(b"fast"), 1, 1e6, 1e6),))
    toll = fast.and_of(SharedToll(book, (Budget(book.row(b"slow"), 1, 1000.0, 1000.0),)))
    assert toll.pay(1000) == 0
    assert toll.pay(500) == 0.5
    held_clock.advance(0.5)
    assert toll.pay(0) == 0


def test_several_that_wait_together_get_the_same(held_clock: HeldClock) -> None:
    """However they are spread over processes: here three of one ledger's, and one of another's."""
    memory = Memory()
    books = [Ledger(memory), Ledger(memory)]
    for book in books:
        book.join()
    budget = (Budget(book.row(b"user"), 2, 1000.0, 1.0),)
    flows = [SharedToll(books[number == 3], budget) for number in range(4)]
    moved, due, began = [0] * 4, [held_clock.now()] * 4, held_clock.now()
    while held_clock.now() < began + 100:
        flow = min(range(4), key=due.__getitem__)
        held_clock.advance(due[flow] - held_clock.now())
        due[flow] = held_clock.now() + flows[flow].pay(100)
        moved[flow] += 100
    assert max(moved) - min(moved) <= 100
    assert 100_000 <= sum(moved) <= 100_500


def test_datagrams_do_not_wait(held_clock: HeldClock) -> None:
    book = ledger()
    toll = SharedToll(book, (Budget(book.row(b"user"), 1, 1000.0, 3000.0), Budget(book.row(b"all"), 1, 1e9, 1e9)))
    assert [toll.afford(1200) for _ in range(4)] == [True, True, False, False]
    held_clock.advance(0.6)
    assert [toll.afford(1200) for _ in range(2)] == [True, False]


def test_one_that_is_larger_than_the_burst_passes_when_it_is_full(held_clock: HeldClock) -> None:
    book = ledger()
    toll = SharedToll(book, (Budget(book.row(b"user"), 1, 1000.0, 1000.0),))
    assert [toll.afford(1500) for _ in range(2)] == [True, False]
    held_clock.advance(1.5)
    assert toll.afford(1500)
