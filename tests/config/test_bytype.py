from __future__ import annotations

import pytest

from gproxy.config.bytype import INBOUND, OUTBOUND
from gproxy.protocol.block.options import BlockOutboundOptions


def test_the_type_chooses_the_model():
    assert OUTBOUND.model_for({"type": "block"}, (), []) is BlockOutboundOptions
    assert OUTBOUND.variants()["block"] is BlockOutboundOptions
    assert set(INBOUND.variants()) == set(INBOUND.registry.names())


@pytest.mark.parametrize(
    ("tree", "path", "message", "hint"),
    [
        ({}, (), "`type` is missing", "it is one of `direct`, `block`, `socks`, `http`"),
        ({"type": 5}, ("type",), "expected text, got an integer", ""),
        ({"type": "vless"}, ("type",), "outbound type `vless` is not supported yet", ""),
        ({"type": "Socks5"}, ("type",), "unknown outbound type", "did you mean `socks`?"),
        ({"type": "zzz"}, ("type",), "unknown outbound type", "it is one of `direct`, `block`, `socks`, `http`"),
    ],
)
def test_what_is_no_type(tree, path, message, hint):
    problems = []
    assert OUTBOUND.model_for(tree, (), problems) is None
    assert [(each.path, each.message, each.hint) for each in problems] == [(path, message, hint)]
