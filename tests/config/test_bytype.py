from __future__ import annotations

import pytest

from gproxy.config.bytype import INBOUND, OUTBOUND
from gproxy.protocol.block.options import BlockOutboundOptions

NAMES = ", ".join(f"`{name}`" for name in OUTBOUND.registry.names())


def test_the_type_chooses_the_model():
    assert OUTBOUND.model_for({"type": "block"}, (), []) is BlockOutboundOptions
    assert OUTBOUND.variants()["block"] is BlockOutboundOptions
    assert set(INBOUND.variants()) == set(INBOUND.registry.names())


@pytest.mark.parametrize(
    ("tree", "path", "message", "hint"),
    [
        ({}, (), "`type` is missing", f"it is one of {NAMES}"),
        ({"type": 5}, ("type",), "expected text, got an integer", ""),
        ({"type": "vless"}, ("type",), "outbound type `vless` is not supported yet", ""),
        ({"type": "Socks5"}, ("type",), "unknown outbound type", "did you mean `socks`?"),
        ({"type": "zzz"}, ("type",), "unknown outbound type", f"it is one of {NAMES}"),
    ],
)
def test_what_is_no_type(tree, path, message, hint):
    problems = []
    assert OUTBOUND.model_for(tree, (), problems) is None
    assert [(each.path, each.message, each.hint) for each in problems] == [(path, message, hint)]
