"""The options of `block`."""

from __future__ import annotations

from gproxy.schema.groups import Item


class BlockOutboundOptions(Item):
    """An outbound that refuses everything, for rules and groups to point at."""
