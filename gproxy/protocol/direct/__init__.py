"""direct: a tunnel from a port to one target, and the way out without a proxy."""

from gproxy.protocol.direct.inbound import DirectInbound
from gproxy.protocol.direct.options import DirectInboundOptions, DirectOutboundOptions
from gproxy.protocol.direct.outbound import DirectOutbound
from gproxy.schema.registry import Row

INBOUND = Row(DirectInboundOptions, DirectInbound)
OUTBOUND = Row(DirectOutboundOptions, DirectOutbound)
