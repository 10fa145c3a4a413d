from __future__ import annotations

import pytest

from gproxy.base.session import Session
from gproxy.wire.dns import quick
from gproxy.wire.dns.message import Edns, Message, Record, parse
from gproxy.wire.dns.quick import LONGEST, Quick
from gproxy.wire.dns.types import NXDOMAIN, SOA, A
from tests.support.names import FakeNames, query_for
from tests.support.playbook import new_session

SESSION: Session = new_session()


def answer_to(query: bytes, ttl: int = 60) -> bytes:
    return FakeNames(ttl).exchange(query, SESSION)


def ttl_of(answer: bytes | None) -> int:
    assert answer is not None
    return parse(answer).answer[0].ttl


@pytest.mark.parametrize("edns", [None, Edns(), Edns(do=True)])
def test_an_answer_is_given_again_with_the_id_of_the_query(edns: Edns | None) -> None:
    answers, query = Quick(), query_for("example.org", number=1, edns=edns)
    answer = answer_to(query)
    answers.put(query, answer, 100.0)
    assert answers.get(query, 100.0) == answer
    assert answers.get(b"\x12\x34" + query[2:], 100.9) == b"\x12\x34" + answer[2:]


def test_each_second_counts() -> None:
    answers, query = Quick(), query_for("example.org", edns=Edns())
    answers.put(query, answer_to(query, 60), 100.5)
    assert [ttl_of(answers.get(query, at)) for at in (100.5, 101.4, 101.5, 102.6, 104.6)] == [60, 60, 59, 58, 56]
    again = parse(answers.get(query, 104.9) or b"")
    assert again.edns == Edns()


def test_nothing_is_given_for_longer_than_a_few_seconds() -> None:
    answers, query = Quick(), query_for("example.org")
    answers.put(query, answer_to(query), 100.0)
    assert answers.get(query, 100.0 + LONGEST - 0.1) is not None
    assert answers.get(query, 100.0 + LONGEST) is None
    assert len(answers) == 0


def test_nothing_is_given_for_longer_than_it_is_good() -> None:
    answers, query = Quick(), query_for("example.org")
    answers.put(query, answer_to(query, 2), 100.0)
    assert ttl_of(answers.get(query, 101.9)) == 1
    assert answers.get(query, 102.0) is None


def test_another_question_is_another_one() -> None:
    answers, query = Quick(), query_for("example.org")
    answers.put(query, answer_to(query), 100.0)
    for other in (query_for("example.net"), query_for("example.org", 28), query_for("example.org", edns=Edns())):
        assert answers.get(other, 100.0) is None
    assert answers.get(b"", 100.0) is None


def kept(query: bytes, answer: bytes) -> bool:
    answers = Quick()
    answers.put(query, answer, 100.0)
    return len(answers) == 1


def test_what_may_not_be_given_again_is_not_kept() -> None:
    query = query_for("example.org")
    good = answer_to(query)
    assert kept(query, good)
    assert not kept(query, answer_to(query, 0))
    assert not kept(query, good[:2] + bytes([good[2] | 2]) + good[3:])  # cut off
    assert not kept(query, good[:3] + bytes([good[3] | 2]) + good[4:])  # a failure
    assert not kept(query, good[:-1])
    assert not kept(query, b"")
    assert not kept(query_for("example.com"), good)


def test_that_there_is_nothing_is_kept_for_as_long_as_it_says() -> None:
    query = query_for("example.org")
    asked = parse(query)
    soa = Record("org", SOA, 300, b"\0\0" + bytes(16) + (2).to_bytes(4, "big"))
    answers = Quick()
    nothing = Message(7, True, rcode=NXDOMAIN, question=asked.question, authority=(soa,)).encode()
    answers.put(query, nothing, 100.0)
    assert answers.get(query, 101.0) is not None
    assert answers.get(query, 102.0) is None
    assert not kept(query, Message(7, True, rcode=NXDOMAIN, question=asked.question).encode())


def test_there_are_never_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick, "MOST", 10)
    answers = Quick()
    queries = [query_for(f"n{number}.example.org", A) for number in range(30)]
    for query in queries:
        answers.put(query, answer_to(query), 100.0)
    assert len(answers) == 10
    assert [answers.get(query, 100.0) is not None for query in queries] == [False] * 20 + [True] * 10
