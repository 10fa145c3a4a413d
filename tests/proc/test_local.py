from __future__ import annotations

import pytest

from gproxy.app.messages import Prepared, Serve, Serving, Stop
from gproxy.proc.local import LocalChannel
from gproxy.rt.group import Group
from gproxy.rt.sync import sleep

pytestmark = pytest.mark.usefixtures("no_leaked_greenlets")


def test_what_is_said_at_one_end_is_heard_at_the_other_in_order() -> None:
    channel = LocalChannel()
    channel.tell(Prepared())
    channel.tell(Serving())
    channel.order(Serve())
    channel.order(Stop(1.0))
    assert [channel.hear(), channel.hear()] == [Prepared(), Serving()]
    assert [channel.receive(), channel.receive()] == [(Serve(), None), (Stop(1.0), None)]


def test_both_ends_wait_for_each_other() -> None:
    channel = LocalChannel()
    heard: list[object] = []
    with Group("test") as group:
        group.spawn(lambda: heard.append(channel.hear()))
        group.spawn(lambda: heard.append(channel.receive()))
        sleep(0)
        assert heard == []
        channel.tell(Prepared())
        channel.order(Serve())
        assert group.join(30)
    assert heard == [Prepared(), (Serve(), None)]
