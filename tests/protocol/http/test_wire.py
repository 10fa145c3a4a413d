"""gproxy.protocol.http.wire: RFC 7617 and RFC 9110 section 9.3.6."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.base.address import Address
from gproxy.protocol.http.wire import decode_basic, encode_basic, encode_connect
from gproxy.wire.cursor import Cursor
from gproxy.wire.http1 import Fields, decode_request, parse_authority


def test_the_examples_of_rfc_7617():
    assert encode_basic("Aladdin", "open sesame") == b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert encode_basic("test", "123\xa3") == b"Basic dGVzdDoxMjPCow=="


@given(st.text().filter(lambda name: ":" not in name), st.text())
def test_credentials_round_trip(name, password):
    assert decode_basic(encode_basic(name, password)) == (name.encode(), password.encode())


@pytest.mark.parametrize("value", [b"basic YTpi", b"BASIC  YTpi", b"Basic YTpi "])
def test_case_and_spaces_do_not_matter(value):
    assert decode_basic(value) == (b"a", b"b")


@pytest.mark.parametrize(
    "value", [b"", b"Basic", b"Basic YQ==", b"Basic YTpi!", b"Basic YTp", b"Digest YTpi", b"YTpi", b"Basic\tYTpi"]
)
def test_other_values_hold_no_credentials(value):
    assert decode_basic(value) is None


@given(st.binary(max_size=40))
def test_any_value_is_judged(value):
    decode_basic(b"Basic " + value)


@pytest.mark.parametrize("target", ["example.com:443", "192.0.2.1:1", "[2001:db8::1]:65535"])
def test_connect_is_read_as_it_is_written(target):
    head = decode_request(Cursor(encode_connect(Address.parse(target), Fields([]))))
    assert parse_authority(head.target) == Address.parse(target)
    assert head.fields.values(b"host") == [target.encode()]
