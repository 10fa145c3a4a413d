from __future__ import annotations

import pytest

from gproxy.base.errors import DialError
from gproxy.engine.outbounds import Outbounds
from tests.engine.stand_ins import FakeOutbound


def test_by_tag_and_network() -> None:
    both, streams = FakeOutbound(), FakeOutbound(networks=frozenset({"tcp"}))
    outbounds = Outbounds({"both": both, "streams": streams}, "both")
    assert outbounds.default == "both"
    assert outbounds.get("both", "udp") is both
    assert outbounds.get("streams", "tcp") is streams
    with pytest.raises(DialError, match="streams carries no udp") as caught:
        outbounds.get("streams", "udp")
    assert caught.value.reason == "declined"


def test_all_are_closed() -> None:
    members = [FakeOutbound(), FakeOutbound()]
    Outbounds({"a": members[0], "b": members[1]}, "a").close()
    assert [member.closed for member in members] == [True, True]
