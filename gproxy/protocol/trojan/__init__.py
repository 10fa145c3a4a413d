"""Trojan: a proxy behind a web site's door."""

from __future__ import annotations

from gproxy.protocol.trojan.inbound import TrojanInbound
from gproxy.protocol.trojan.options import TrojanInboundOptions, TrojanOutboundOptions
from gproxy.protocol.trojan.outbound import TrojanOutbound
from gproxy.schema.registry import Row

INBOUND = Row(TrojanInboundOptions, TrojanInbound)
OUTBOUND = Row(TrojanOutboundOptions, TrojanOutbound)
