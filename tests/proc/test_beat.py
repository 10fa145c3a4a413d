from __future__ import annotations

import os

from gproxy.proc.beat import Beats
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
