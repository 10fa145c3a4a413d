from __future__ import annotations

import os
import signal

from gproxy.base.clock import now
from gproxy.proc.beat import HUNG, Beats
from gproxy.proc.orders import CONTROL


def test_silence_is_counted_from_the_last_beat(held_clock) -> None:
    beats = Beats(2)
    for worker in (CONTROL, 0, 1):
        beats.beat(worker)
    held_clock.advance(3)
    beats.beat(0)
    held_clock.advance(1)
    assert [beats.silence(worker) for worker in (CONTROL, 0, 1)] == [4, 1, 4]


def test_another_process_s_beat_is_seen() -> None:
    beats = Beats(1)
    assert beats.silence(0) > 1
    pid = os.fork()
    if pid == 0:
        beats.beat(0)
        os._exit(0)
    os.waitpid(pid, 0)
    assert beats.silence(0) < 60
    assert beats.silence(CONTROL) > 1


def test_a_beat_is_never_seen_half() -> None:
    """Whoever looks in the middle of one must not find a heart that has stood still since the beginning of time."""
    beats = Beats(1)
    beats.beat(0)
    pid = os.fork()
    if pid == 0:
        while True:
            beats.beat(0)
    try:
        end = now() + 0.5
        worst = 0.0
        while now() < end:
            worst = max(worst, beats.silence(0))
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert worst < HUNG
