"""block: the outbound that refuses everything."""

from gproxy.protocol.block.options import BlockOutboundOptions
from gproxy.protocol.block.outbound import BlockOutbound
from gproxy.schema.registry import Row

OUTBOUND = Row(BlockOutboundOptions, BlockOutbound)
