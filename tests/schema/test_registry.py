from __future__ import annotations

import sys

import pytest

from gproxy.protocol import INBOUNDS, OUTBOUNDS
from gproxy.schema.registry import Registry


def test_a_room_is_imported_when_it_is_asked_for():
    registry = Registry("thing", {"x": "gproxy.protocol.block:OUTBOUND"}, ["x", "y"])
    assert "x" in registry
    assert registry.not_yet == {"y"}
    assert registry.row("x").options.__name__ == "BlockOutboundOptions"
    assert "gproxy.protocol.block" in sys.modules
    with pytest.raises(KeyError):
        registry.row("z")


def test_a_third_party_adds_but_does_not_replace():
    registry = Registry("thing", {"x": "a:B"})
    registry.add("y", "c:D")
    assert registry.names() == ["x", "y"]
    with pytest.raises(ValueError, match="already there"):
        registry.add("x", "c:D")


@pytest.mark.parametrize("registry", [INBOUNDS, OUTBOUNDS])
def test_every_line_of_the_catalogue_leads_to_a_room(registry):
    for name in registry.names():
        row = registry.row(name)
        assert callable(row.build)
        assert {"type", "tag"} <= set(row.options.__dataclass_fields__)
