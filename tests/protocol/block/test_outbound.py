"""gproxy.protocol.block.outbound."""

from __future__ import annotations

import logging
from ipaddress import IPv4Address

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import Rejected
from gproxy.base.wiring import OutboundWiring
from gproxy.protocol.block import OUTBOUND
from tests.support.playbook import new_session


@pytest.mark.parametrize("how", ["dial", "dial_packet"])
def test_everything_is_refused_with_an_answer(how):
    wiring = OutboundWiring("no", lambda session: None, None, logging.getLogger("test"))
    outbound = OUTBOUND.build(OUTBOUND.options(type="block"), wiring)
    with pytest.raises(Rejected, match="no") as refusal:
        getattr(outbound, how)(Address(IPv4Address("192.0.2.1"), 80), new_session())
    assert not refusal.value.drop
    assert outbound.networks == {"tcp", "udp"}
