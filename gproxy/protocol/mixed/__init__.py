"""SOCKS and HTTP on one port."""

from __future__ import annotations

from gproxy.protocol.mixed.inbound import MixedInbound
from gproxy.protocol.mixed.options import MixedInboundOptions
from gproxy.schema.registry import Row

INBOUND = Row(MixedInboundOptions, MixedInbound)
