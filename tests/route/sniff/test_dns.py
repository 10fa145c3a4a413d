"""gproxy.route.sniff.dns; its laws are in laws_sniff.py."""

from __future__ import annotations

import pytest

from gproxy.base.errors import ProtocolError
from gproxy.route.sniff.dns import sniff_dns_packet, sniff_dns_stream
from gproxy.wire.cursor import Cursor
from tests.route.sniff.first import DNS, DNS_EDNS, QUESTION


def test_the_question_and_what_is_additional_must_be_whole() -> None:
    for query in (DNS, DNS_EDNS):
        for end in range(len(query)):
            if end != len(DNS):  # where fewer records come than it says, they are missing
                with pytest.raises(ProtocolError):
                    sniff_dns_packet(Cursor(query[:end]))


def test_several_questions_are_as_good_as_one() -> None:
    assert sniff_dns_packet(Cursor(DNS[:5] + b"\2" + DNS[6:] + QUESTION)).protocol == "dns"


def test_a_stream_may_go_on() -> None:
    cursor = Cursor(len(DNS).to_bytes(2, "big") + DNS + b"\0\x20")
    assert sniff_dns_stream(cursor).protocol == "dns"
    assert cursor.left() == 2


def test_a_stream_s_message_ends_where_it_says() -> None:
    with pytest.raises(ProtocolError):
        sniff_dns_stream(Cursor(len(DNS[:-1]).to_bytes(2, "big") + DNS))


def test_names_that_point_at_each_other_cost_nothing() -> None:
    query = b"\x12\x34\1\0\x20\0\0\0\0\0\0\0" + QUESTION + b"\xc0\x0c\0\1\0\1" * 8191
    assert sniff_dns_packet(Cursor(query)).protocol == "dns"
