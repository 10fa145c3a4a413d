from __future__ import annotations

import pytest

from gproxy.rt import sync
from gproxy.rt.group import Group

pytestmark = pytest.mark.usefixtures("no_leaked_greenlets")


def test_the_lock_may_be_taken_again_by_its_owner_and_by_nobody_else() -> None:
    lock = sync.Lock()
    got: list[bool] = []
    with lock, lock, Group("test") as group:
        group.spawn(lambda: got.append(lock.acquire(blocking=False)))
        group.join(5)
    assert got == [False]


def test_a_queue_has_its_bounds() -> None:
    queue: sync.Queue[int] = sync.Queue(1)
    queue.put(1)
    with pytest.raises(sync.Full):
        queue.put_nowait(2)
    assert queue.get() == 1
    with pytest.raises(sync.Empty):
        queue.get_nowait()


def test_sleep_lets_others_run() -> None:
    seen: list[str] = []
    with Group("test") as group:
        group.spawn(seen.append, "other")
        sync.sleep(0)
        seen.append("back")
    assert seen == ["other", "back"]
