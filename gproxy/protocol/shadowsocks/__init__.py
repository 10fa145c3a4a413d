"""Shadowsocks: SIP004 (AEAD), SIP022 and SIP023 (the 2022 edition), and the retired ciphers of before."""

from __future__ import annotations

from gproxy.protocol.shadowsocks.inbound import ShadowsocksInbound
from gproxy.protocol.shadowsocks.options import ShadowsocksInboundOptions, ShadowsocksOutboundOptions
from gproxy.protocol.shadowsocks.outbound import ShadowsocksOutbound
from gproxy.schema.registry import Row

INBOUND = Row(ShadowsocksInboundOptions, ShadowsocksInbound)
OUTBOUND = Row(ShadowsocksOutboundOptions, ShadowsocksOutbound)
