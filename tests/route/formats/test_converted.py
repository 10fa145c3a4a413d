from __future__ import annotations

import pytest

from gproxy.route.formats import converted
from gproxy.route.formats.converted import text_of
from gproxy.route.headless import BadRuleSet


def test_a_byte_order_mark_is_no_text():
    assert text_of(b"\xef\xbb\xbfa") == "a"


def test_what_is_no_text_is_refused(monkeypatch):
    with pytest.raises(BadRuleSet, match="UTF-8"):
        text_of(b"\xff")
    monkeypatch.setattr(converted, "MAX_LIST", 2)
    with pytest.raises(BadRuleSet, match="more than"):
        text_of(b"abc")
