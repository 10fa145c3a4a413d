"""gproxy.dns.servers.asked: what happens to a question on its way, and which answers are answers to it."""

from __future__ import annotations

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import DialError, ProtocolError
from gproxy.dns.servers.asked import (
    answers,
    answers_alike,
    fail,
    is_bare_error,
    is_truncated,
    mixed,
    own_session,
    question_of,
    settled,
    with_question,
)
from gproxy.wire.dns.message import parse
from tests.dns.servers.upstream import ADDRESS, SESSION, ask, reply

# The numbers of these types are those of letters, which must not be taken for any.
HTTPS, SPF = 65, 99


@pytest.mark.parametrize("kind", [1, HTTPS, SPF])
def test_only_the_letters_of_the_name_change_their_case(kind):
    question = question_of(ask("a-b.xn--c3.test", kind))
    found = {mixed(question) for _ in range(64)}
    assert len(found) > 32
    assert {each.lower()[:-4] for each in found} == {question[:-4]}
    assert {each[-4:] for each in found} == {kind.to_bytes(2, "big") + b"\0\1"}


def test_the_root_has_no_letters():
    assert mixed(question_of(ask(""))) == b"\0\0\1\0\1"


def test_an_answer_is_one_to_this_question():
    one = ask("site.test")
    question = question_of(one)
    answer = reply(one.message)
    assert answers(answer, question)
    assert answers_alike(answer, question)
    other = answer[:12] + answer[12:].replace(b"site", b"SITE", 1)
    assert not answers(other, question)
    assert answers_alike(other, question)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a[:2] + bytes([a[2] & 0x7F]) + a[3:],  # a query
        lambda a: a[:2] + bytes([a[2] | 0x28]) + a[3:],  # another opcode
        lambda a: a[:4] + b"\0\2" + a[6:],  # two questions
        lambda a: a[:4] + b"\0\0" + a[6:],  # none
        lambda a: a.replace(b"site", b"sits", 1),
        lambda a: a.replace(b"\0\0\1\0\1", b"\0\0\x1c\0\1", 1),  # another type
        lambda a: a.replace(b"\0\0\1\0\1", b"\0\0\1\0\3", 1),  # another class
        lambda a: a[:20],
        lambda a: a[:11],
        lambda a: b"",
    ],
)
def test_what_is_no_answer_to_it(change):
    one = ask("site.test")
    answer = change(reply(one.message))
    assert not answers(answer, question_of(one))
    assert not answers_alike(answer, question_of(one))


def test_truncation_is_read_from_the_flags():
    one = ask("site.test")
    assert is_truncated(reply(one.message, truncated=True))
    assert not is_truncated(reply(one.message))


def test_a_settled_answer_has_no_trace_of_the_way():
    one = ask("site.test")
    question = question_of(one)
    on_the_way = mixed(question)
    answer = b"\x12\x34" + reply(one.message)[2:12] + on_the_way + reply(one.message)[12 + len(question) :]
    message = parse(settled(answer, question))
    assert message.id == 0
    assert settled(answer, question)[12 : 12 + len(question)] == question
    assert message.answer[0].data == ADDRESS.packed


def test_failures_that_do_not_repeat_the_question():
    formerr = b"\x12\x34\x81\x81" + bytes(8)
    assert is_bare_error(formerr)
    assert not is_bare_error(b"\x12\x34\x81\x80" + bytes(8)), "one that claims success"
    assert not is_bare_error(b"\x12\x34\x01\x01" + bytes(8)), "a query"
    assert not is_bare_error(formerr + b"\0")
    assert not is_bare_error(formerr[:-1])
    one = ask("site.test")
    message = parse(with_question(formerr, question_of(one)))
    assert message.rcode == 1
    assert message.question == ("site.test", 1, 1)


def test_a_connection_for_all_has_nothing_of_one_session():
    session = own_session(SESSION, "tcp", Address("dns.test", 853))
    assert session.target == Address("dns.test", 853)
    assert session.addresses == ()
    assert session.network == "tcp"
    assert SESSION.target == Address("asked.test", 443)


def test_a_failure_says_whose_it_is():
    with pytest.raises(DialError, match="DNS server up: closed amid an answer") as caught:
        fail("up", ProtocolError("closed amid an answer"))
    assert caught.value.reason == "dns"
