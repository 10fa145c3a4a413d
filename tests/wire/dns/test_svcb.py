"""Service bindings lose their hints, and nothing else."""

from __future__ import annotations

import pytest

from gproxy.base.errors import ProtocolError
from gproxy.wire.dns import types
from gproxy.wire.dns.svcb import IPV4_HINT, IPV6_HINT, without_hints, without_keys
from gproxy.wire.dns.zone import read_record, show_data
from tests.wire.dns.samples import USUAL, answer

FULL = read_record(
    "a. HTTPS 1 b.example. mandatory=alpn,ipv4hint alpn=h2,h3 port=8443 ipv4hint=192.0.2.1,192.0.2.2 "
    "ipv6hint=2001:db8::1 key65000=x"
)
ALIAS = read_record("a. HTTPS 0 b.example.")


def test_hints_of_one_family_go():
    message = answer("a", types.HTTPS, FULL, ALIAS)
    fours = without_hints(message, ipv6=True)
    assert "ipv6hint" not in show_data(fours.answer[0])
    assert 'ipv4hint="192.0.2.1,192.0.2.2"' in show_data(fours.answer[0])
    sixes = without_hints(message, ipv4=True)
    assert (
        show_data(sixes.answer[0])
        == '1 b.example. mandatory="alpn" alpn="h2,h3" port="8443" ipv6hint="2001:db8::1" key65000="x"'
    )
    assert sixes.answer[1] == ALIAS
    assert without_hints(message) == message


def test_hints_beside_an_answer_go_too():
    message = answer("a", types.MX, additional=(FULL._replace(type=types.SVCB),))
    assert "hint" not in show_data(without_hints(message, ipv4=True, ipv6=True).additional[0])


def test_other_messages_are_left_alone():
    assert without_hints(USUAL, ipv4=True, ipv6=True) is USUAL


def test_a_list_of_mandatory_parameters_that_has_become_empty_goes():
    data = read_record("a. HTTPS 1 . mandatory=ipv4hint ipv4hint=192.0.2.1").data
    assert without_keys(data, {IPV4_HINT}) == b"\0\1\0"


@pytest.mark.parametrize(
    "data", [b"", b"\0\1", b"\0\1\1a", b"\0\1\0\0", b"\0\1\0\0\4\0\4\1\2\3", b"\0\1\0\0\0\0\3\0\4\0"]
)
def test_bad_records_are_refused(data):
    with pytest.raises(ProtocolError):
        without_keys(data, {IPV4_HINT, IPV6_HINT})
