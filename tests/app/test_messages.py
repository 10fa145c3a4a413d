from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from gproxy.app.messages import AskSnapshot, Serve, Snapshot, Stop, StopNow, Stopped


def test_messages_are_values() -> None:
    assert Stop(5.0) == Stop(5.0)
    assert Stopped(1) != Stopped(2)
    assert len({Serve(), Serve(), StopNow(), AskSnapshot()}) == 3
    assert Snapshot(1, 0, 2, 3, {"ok": 1}) == Snapshot(1, 0, 2, 3, {"ok": 1})


def test_nobody_edits_what_was_said() -> None:
    with pytest.raises(FrozenInstanceError):
        Stop(5.0).grace = 1.0  # type: ignore[misc]
