"""Numbers and their names."""

from __future__ import annotations

import dns.rcode
import dns.rdatatype
import pytest

from gproxy.wire.dns import types


@pytest.mark.parametrize(
    ("text", "number"),
    [("A", 1), ("aaaa", 28), ("Https", 65), ("TYPE28", 28), ("type65535", 65535), ("28", 28), ("0", 0), ("ANY", 255)],
)
def test_types_are_read(text, number):
    assert types.type_number(text) == number


@pytest.mark.parametrize("text", ["", "B", "TYPE", "TYPE65536", "65536", "-1", "1.0", "TYPE-1", "²", "0000001", "IN"])
def test_what_is_no_type(text):
    with pytest.raises(ValueError):
        types.type_number(text)


@pytest.mark.parametrize(("text", "number"), [("NOERROR", 0), ("nxdomain", 3), ("3", 3), ("RCODE4095", 4095)])
def test_response_codes_are_read(text, number):
    assert types.rcode_number(text) == number


@pytest.mark.parametrize("text", ["", "NO", "4096", "A", "-3", "QUERY"])
def test_what_is_no_response_code(text):
    with pytest.raises(ValueError):
        types.rcode_number(text)


def test_names_and_numbers_are_one():
    assert all(types.type_number(types.type_name(number)) == number for number in range(65536))
    assert all(types.rcode_number(types.rcode_name(number)) == number for number in range(4096))
    assert (types.type_name(28), types.type_name(65280)) == ("AAAA", "TYPE65280")
    assert (types.rcode_name(3), types.rcode_name(99)) == ("NXDOMAIN", "RCODE99")


def test_dnspython_has_the_same_numbers():
    for name, number in types.TYPES.items():
        if name not in ("MAILB", "MAILA", "SMIMEA", "NULL", "MG", "MR", "MB", "MD", "MF", "KEY", "SIG", "NXT", "TKEY"):
            assert dns.rdatatype.from_text(name) == number
    for name, number in types.RCODES.items():
        assert dns.rcode.from_text(name) == number
