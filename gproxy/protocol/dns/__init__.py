"""dns: a server that answers questions about names, by UDP, TCP, TLS and HTTPS."""

from __future__ import annotations

from gproxy.protocol.dns.inbound import DnsInbound
from gproxy.protocol.dns.options import DnsInboundOptions
from gproxy.schema.registry import Row

INBOUND = Row(DnsInboundOptions, DnsInbound)
