from __future__ import annotations

from gproxy.proc.timers import Timers


class Clock:
    at = 100.0

    def __call__(self) -> float:
        return self.at


def test_calls_come_when_they_are_due_and_in_order() -> None:
    clock, called = Clock(), []
    timers = Timers(clock)
    for seconds in (3, 1, 2, 1):
        timers.after(seconds, lambda seconds=seconds: called.append(seconds))
    assert timers.next_in() == 1
    timers.run_due()
    assert called == []
    clock.at += 2
    timers.run_due()
    assert called == [1, 1, 2]
    assert timers.next_in() == 1


def test_none_means_wait_for_ever() -> None:
    assert Timers(Clock()).next_in() is None


def test_what_is_late_is_due_now() -> None:
    clock = Clock()
    timers = Timers(clock)
    timers.after(1, lambda: None)
    clock.at += 5
    assert timers.next_in() == 0


def test_a_call_may_ask_for_another() -> None:
    clock, called = Clock(), []
    timers = Timers(clock)

    def again() -> None:
        called.append(clock.at)
        timers.after(1, again)

    timers.after(1, again)
    for _ in range(3):
        clock.at += 1
        timers.run_due()
    assert called == [101, 102, 103]


def test_it_reads_the_house_s_clock(held_clock) -> None:
    timers = Timers()
    timers.after(2, lambda: None)
    held_clock.advance(1.5)
    assert timers.next_in() == 0.5
