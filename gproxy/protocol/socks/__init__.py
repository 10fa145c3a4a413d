"""SOCKS 4, 4a and 5: RFC 1928 and RFC 1929."""

from __future__ import annotations

from gproxy.protocol.socks.inbound import SocksInbound
from gproxy.protocol.socks.options import SocksInboundOptions, SocksOutboundOptions
from gproxy.protocol.socks.outbound import SocksOutbound
from gproxy.schema.registry import Row

INBOUND = Row(SocksInboundOptions, SocksInbound)
OUTBOUND = Row(SocksOutboundOptions, SocksOutbound)
