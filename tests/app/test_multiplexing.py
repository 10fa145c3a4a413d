"""gproxy.app.multiplexing: both ends in one process, from one configuration to another."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from gproxy.app.multiplexing import dispatching, outgoing
from gproxy.layers.mux import brutal
from gproxy.layers.mux.client import MuxOutbound
from gproxy.layers.mux.server import MuxServer
from gproxy.protocol.trojan.options import TrojanInboundOptions, TrojanOutboundOptions, TrojanUser
from gproxy.schema.fields import Secret
from gproxy.schema.groups import Listen
from gproxy.schema.multiplex import Brutal, InboundMultiplex, OutboundMultiplex
from tests.support.dispatch import RecordingDispatcher

LOG = logging.getLogger("test")
RATES = Brutal(enabled=True, up_mbps=1, down_mbps=1)


def inbound(**multiplex: Any) -> TrojanInboundOptions:
    user = TrojanUser(password=Secret("pw"))
    return TrojanInboundOptions(type="trojan", users=(user,), multiplex=InboundMultiplex(**multiplex))


def outbound(**multiplex: Any) -> TrojanOutboundOptions:
    return TrojanOutboundOptions(
        type="trojan", server="a.test", server_port=1, password=Secret("pw"), multiplex=OutboundMultiplex(**multiplex)
    )


class Plain:
    """An outbound that is only looked at."""

    networks = frozenset({"tcp"})


def test_nothing_stands_before_what_multiplexes_nothing() -> None:
    then, plain = RecordingDispatcher(), Plain()
    for options in (inbound(), Listen(type="socks"), outbound()):
        assert dispatching(options, then, _no_branch, LOG) is then
        assert outgoing(options, plain, LOG) is plain  # type: ignore[arg-type]


def test_what_stands_before_what_does() -> None:
    assert isinstance(dispatching(inbound(enabled=True), RecordingDispatcher(), _no_branch, LOG), MuxServer)
    around = outgoing(outbound(enabled=True), Plain(), LOG)  # type: ignore[arg-type]
    assert isinstance(around, MuxOutbound)
    assert around.networks == {"tcp"}


@pytest.mark.parametrize("there", [False, True])
def test_a_kernel_without_brutal_is_warned_of(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    monkeypatch.setattr(brutal, "kernel_has_brutal", lambda: there)
    dispatching(inbound(enabled=True), RecordingDispatcher(), _no_branch, LOG)
    assert not caplog.records
    dispatching(inbound(enabled=True, brutal=RATES), RecordingDispatcher(), _no_branch, LOG)
    outgoing(outbound(enabled=True, brutal=RATES), Plain(), LOG)  # type: ignore[arg-type]
    assert len(caplog.records) == (0 if there else 2)


def _no_branch(*_: object) -> None:
    raise AssertionError("nothing is served here")
