from __future__ import annotations

import os

import pytest

from gproxy.rt.group import Group
from gproxy.rt.sync import Event
from tests.support import leaks


def test_an_open_descriptor_is_seen() -> None:
    before = leaks.descriptors()
    fd = os.open("/dev/null", os.O_RDONLY)
    try:
        assert [path for _, path in leaks.descriptors() - before] == ["/dev/null"]
        with pytest.raises(AssertionError, match="left open"):
            leaks._settle(lambda: leaks.descriptors() - before, "descriptors left open", 0.01)
    finally:
        os.close(fd)
    leaks._settle(lambda: leaks.descriptors() - before, "descriptors left open")


def test_a_waiting_greenlet_is_seen() -> None:
    before = {id(one) for one in leaks.live_greenlets()}
    with Group("test") as group:
        group.spawn(Event().wait)
        group.join(0.01)
        assert [one for one in leaks.live_greenlets() if id(one) not in before]
    leaks._settle(lambda: [one for one in leaks.live_greenlets() if id(one) not in before], "greenlets left alive")
