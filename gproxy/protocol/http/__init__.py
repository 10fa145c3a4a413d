"""HTTP proxying: CONNECT and absolute-form forwarding (RFC 9110, RFC 9112), with Basic authentication (RFC 7617)."""

from __future__ import annotations

from gproxy.protocol.http.inbound import HttpInbound
from gproxy.protocol.http.options import HttpInboundOptions, HttpOutboundOptions
from gproxy.protocol.http.outbound import HttpOutbound
from gproxy.schema.registry import Row

INBOUND = Row(HttpInboundOptions, HttpInbound)
OUTBOUND = Row(HttpOutboundOptions, HttpOutbound)
