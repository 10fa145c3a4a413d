from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.wire.dns import types
from gproxy.wire.dns.asked import minimal_any, read_asked, sent_to_tcp, size_of, without_subnet
from gproxy.wire.dns.message import Edns, parse, parse_query
from tests.support.names import query_for

SUBNET = (types.CLIENT_SUBNET, b"\0\1\x18\0\xc0\0\2")
COOKIE = (types.COOKIE, b"12345678")


def test_what_is_asked() -> None:
    asked = read_asked(query_for("www.example.org", types.AAAA))
    assert asked is not None
    assert (asked.type, asked.size, asked.edns, asked.options, asked.lower) == (types.AAAA, 512, False, False, True)


@pytest.mark.parametrize(("said", "taken"), [(0, 512), (512, 512), (1000, 1000), (1232, 1232), (4096, 1232)])
def test_the_size_of_datagrams_is_between_what_all_take_and_what_passes_every_network(said: int, taken: int) -> None:
    assert size_of(read_asked(query_for("a.b", edns=Edns(size=said)))) == taken


def test_what_is_no_plain_query_gets_the_size_that_all_take() -> None:
    assert size_of(None) == 512


@pytest.mark.parametrize("place", range(40))
def test_a_query_that_is_cut_or_goes_on_is_none(place: int) -> None:
    query = query_for("example.org", edns=Edns())
    assert len(query) == 40
    assert read_asked(query[:place]) is None
    assert read_asked(query + b"\0") is None


@pytest.mark.parametrize(
    "change",
    [
        lambda query: query[:2] + b"\x80" + query[3:],  # an answer
        lambda query: query[:2] + b"\x28" + query[3:],  # an update
        lambda query: query[:5] + b"\2" + query[6:],  # two questions
        lambda query: query[:7] + b"\1" + query[8:],  # with an answer
        lambda query: query[:11] + b"\1" + query[12:],  # a record that is not there
        lambda query: query[:12] + b"\xc0\x0c" + query[14:],  # a pointer
    ],
)
def test_other_messages_are_none(change: object) -> None:
    assert callable(change)
    assert read_asked(query_for("example.org")) is not None
    assert read_asked(change(query_for("example.org"))) is None


@given(st.binary(max_size=100))
def test_random_octets_are_judged_without_an_error(data: bytes) -> None:
    asked = read_asked(data)
    if asked is not None:
        assert 12 < asked.end <= len(data)


def test_capital_letters_are_noticed() -> None:
    query = query_for("example.org")
    asked = read_asked(query.replace(b"example", b"exAmple"))
    assert asked is not None
    assert not asked.lower


def test_the_subnet_is_taken_out_and_nothing_else() -> None:
    query = query_for("example.org", edns=Edns(options=(SUBNET, COOKIE), do=True))
    asked = read_asked(query)
    assert asked is not None
    assert asked.options
    left = parse_query(without_subnet(query, asked)).edns
    assert left == Edns(options=(COOKIE,), do=True)


def test_options_that_can_not_be_read_stay() -> None:
    query = query_for("example.org", edns=Edns(options=(COOKIE,)))
    broken = query[:-9] + b"\x40" + query[-8:]
    asked = read_asked(broken)
    assert asked is not None
    assert without_subnet(broken, asked) == broken


@pytest.mark.parametrize("edns", [None, Edns()])
def test_any_gets_one_short_record(edns: Edns | None) -> None:
    query = query_for("example.org", types.ANY, edns=edns)
    asked = read_asked(query)
    assert asked is not None
    answer = parse(minimal_any(query, asked))
    assert [(record.name, record.type, record.data) for record in answer.answer] == [
        ("example.org", types.HINFO, b"\x07RFC8482\0")
    ]
    assert answer.id == 7
    assert answer.response
    assert answer.recursion_available
    assert (answer.edns is None) == (edns is None)


@pytest.mark.parametrize("edns", [None, Edns(), Edns(options=(COOKIE,))])
def test_who_is_sent_to_tcp_gets_no_more_than_he_sent(edns: Edns | None) -> None:
    query = query_for("example.org", edns=edns)
    asked = read_asked(query)
    assert asked is not None
    answer = sent_to_tcp(query, asked)
    assert len(answer) <= len(query)
    read = parse(answer)
    assert read.truncated
    assert read.question == parse(query).question
    assert not read.answer
