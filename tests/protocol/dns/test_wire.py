from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.protocol.dns.wire import KIND, Refusal, check_query, max_age, read_request
from gproxy.wire.dns.message import Message, Record, error_reply, parse
from gproxy.wire.dns.types import NXDOMAIN, SERVFAIL, SOA
from tests.support.names import FakeNames, query_for
from tests.support.playbook import new_session

PLACE = b"/dns-query"
QUERY = query_for("www.example.com", number=0)
# RFC 8484 section 4.1.1
TEXT = b"AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB"


def status_of(method: bytes, target: bytes, *kinds: bytes) -> int:
    with pytest.raises(Refusal) as refused:
        read_request(method, target, list(kinds), PLACE)
    return refused.value.http


def test_the_standards_own_example() -> None:
    assert read_request(b"GET", PLACE + b"?dns=" + TEXT, [], PLACE) == QUERY
    assert read_request(b"GET", PLACE + b"?ct&dns=" + TEXT + b"&x=1", [], PLACE) == QUERY


@given(st.binary(min_size=12, max_size=60).filter(lambda data: data[2] < 0x80), st.booleans())
def test_any_message_can_be_in_a_target(query: bytes, padded: bool) -> None:
    text = base64.urlsafe_b64encode(query)
    target = PLACE + b"?dns=" + (text if padded else text.rstrip(b"="))
    assert read_request(b"GET", target, [], PLACE) == query


@pytest.mark.parametrize("kind", [KIND, b"Application/DNS-Message", b"application/dns-message; x=1"])
def test_a_post_has_it_in_its_body(kind: bytes) -> None:
    assert read_request(b"POST", PLACE, [kind], PLACE) is None


@pytest.mark.parametrize(
    "parameters",
    [b"", b"?", b"?dns", b"?dns=", b"?name=example.com", b"?dns=" + TEXT + b"&dns=" + TEXT, b"?dns=A", b"?dns=!!!!",
     b"?dns=AAAA", b"?dns=AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQA%3D", b"?dns=AACB" + TEXT[4:]],
)  # fmt: skip
def test_targets_without_a_query(parameters: bytes) -> None:
    assert status_of(b"GET", PLACE + parameters) == 400


@pytest.mark.parametrize(
    ("method", "target", "kinds", "status"),
    [
        (b"GET", b"/", [], 404),
        (b"GET", b"/dns-query/?dns=" + TEXT, [], 404),
        (b"POST", b"*", [KIND], 404),
        (b"PUT", PLACE, [KIND], 405),
        (b"HEAD", PLACE + b"?dns=" + TEXT, [], 405),
        (b"POST", PLACE, [], 415),
        (b"POST", PLACE, [b"application/json"], 415),
        (b"POST", PLACE, [KIND, KIND], 415),
    ],
)
def test_requests_for_something_else(method: bytes, target: bytes, kinds: list[bytes], status: int) -> None:
    assert status_of(method, target, *kinds) == status


def test_what_can_be_a_query() -> None:
    assert check_query(QUERY) == QUERY
    for wrong, status in ((b"", 400), (QUERY[:11], 400), (QUERY[:2] + b"\x81" + QUERY[3:], 400), (bytes(65536), 413)):
        with pytest.raises(Refusal) as refused:
            check_query(wrong)
        assert refused.value.http == status


def test_how_long_an_answer_may_be_kept() -> None:
    assert max_age(FakeNames(77).exchange(QUERY, new_session())) == 77
    asked = parse(QUERY).question
    soa = Record("com", SOA, 300, b"\0\0" + bytes(16) + (20).to_bytes(4, "big"))
    assert max_age(Message(0, True, rcode=NXDOMAIN, question=asked, authority=(soa,)).encode()) == 20
    assert max_age(error_reply(QUERY, SERVFAIL)) == 0
    assert max_age(b"garbage") == 0
