from __future__ import annotations

import pytest

from gproxy.net import farewell
from gproxy.net.farewell import hear_out
from gproxy.rt.group import Group
from tests.support.pipe import pipe

pytestmark = pytest.mark.usefixtures("no_leaks")


def test_it_says_that_this_was_all_and_listens_until_the_peer_has_closed() -> None:
    near, far = pipe()
    near.sendall(b"the answer")
    with Group("test") as group:
        ending = group.spawn(hear_out, near)
        assert far.recv() == b"the answer"
        assert far.recv() == b""
        far.sendall(b"still talking")
        assert not ending.ready()
        far.close_write()
        assert group.join(30)
    near.close()
    far.close()


def test_it_does_not_listen_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(farewell, "LINGER", 0.01)
    near, far = pipe()
    hear_out(near)
    near.close()
    far.close()


def test_a_peer_that_breaks_off_has_heard_enough() -> None:
    near, far = pipe()
    far.abort()
    hear_out(near)
    near.close()
