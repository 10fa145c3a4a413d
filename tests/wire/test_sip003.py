from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.wire.sip003 import encode_options, parse_options


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("", []),
        ("obfs=http", [("obfs", "http")]),
        ("obfs=http;obfs-host=example.com", [("obfs", "http"), ("obfs-host", "example.com")]),
        ("server;tls;host=example.com;", [("server", ""), ("tls", ""), ("host", "example.com")]),
        ("a=b=c", [("a", "b=c")]),
        ("a=;b", [("a", ""), ("b", "")]),
        (r"a=b\;c;d=\\", [("a", "b;c"), ("d", "\\")]),
        (r"a\=b=c\=d", [("a=b", "c=d")]),
        (r"a\b=\c", [("ab", "c")]),
        ("secret=nou;cache=/tmp/cache;secret=yes", [("secret", "nou"), ("cache", "/tmp/cache"), ("secret", "yes")]),
    ],
)
def test_pairs(text: str, pairs: list[tuple[str, str]]) -> None:
    assert parse_options(text) == pairs


@pytest.mark.parametrize("text", ["a=b\\", "\\", ";", "a;;b", "=b", "a=b;=c"])
def test_what_is_no_list_of_options(text: str) -> None:
    with pytest.raises(ValueError):
        parse_options(text)


@given(st.lists(st.tuples(st.text(min_size=1), st.text())))
def test_what_is_written_is_read(pairs: list[tuple[str, str]]) -> None:
    assert parse_options(encode_options(pairs)) == pairs
