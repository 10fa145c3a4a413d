"""Answers that are given again: what of them changes, how long they are good for, what can't be prepared."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gproxy.base.errors import ProtocolError
from gproxy.wire.dns import types
from gproxy.wire.dns.message import (
    AUTHENTIC,
    CHECKING_DISABLED,
    RECURSION_DESIRED,
    Edns,
    Message,
    Question,
    Record,
    encode_opt,
    make_query,
    parse,
)
from gproxy.wire.dns.prepared import prepare
from tests.wire.dns.samples import USUAL, a, answer, cname, messages, soa

WIRE = USUAL.encode()
MOST = 0x7FFFFFFF


def again(message, *, flags=RECURSION_DESIRED, ttl=0, opt=b""):
    prepared = prepare(message.encode())
    return parse(prepared.answer(7, prepared.question, flags, ttl, opt))


def test_an_answer_is_given_again_with_one_ttl():
    for ttl in (0, 17, MOST):
        given_again = again(USUAL, ttl=ttl)
        assert given_again == replace(
            USUAL, edns=None, answer=tuple(record._replace(ttl=ttl) for record in USUAL.answer)
        )


def test_the_clients_own_id_and_letters():
    prepared = prepare(WIRE)
    assert prepared.question == b"\3www\7example\3com\0\0\1\0\1"
    reply = prepared.answer(0xBEEF, b"\3wWw\7eXample\3cOm\0\0\1\0\1", 0, 5)
    assert reply[:2] == b"\xbe\xef"
    assert reply[12:33] == b"\3wWw\7eXample\3cOm\0\0\1\0\1"
    assert len(parse(reply).answer) == 4


def test_the_flags_that_are_the_clients():
    plain = again(USUAL, flags=0)
    assert (plain.recursion_desired, plain.checking_disabled, plain.recursion_available) == (False, False, True)
    assert again(USUAL, flags=RECURSION_DESIRED | CHECKING_DISABLED).checking_disabled
    assert not again(replace(USUAL, checking_disabled=True), flags=0).checking_disabled
    assert not again(replace(USUAL, authentic=True), flags=0).authentic
    assert again(replace(USUAL, authentic=True), flags=AUTHENTIC).authentic
    assert not again(USUAL, flags=AUTHENTIC).authentic
    assert not again(USUAL, flags=0x7A4F).truncated
    assert again(USUAL, flags=0x7A4F).rcode == 0


def test_the_opt_record_is_the_askers_own():
    opt = encode_opt(Edns(1400, True))
    assert again(USUAL).edns is None
    assert again(USUAL, opt=opt) == replace(again(USUAL), edns=Edns(1400, True))
    assert again(replace(USUAL, edns=None), opt=opt).edns == Edns(1400, True)


def test_an_opt_record_that_is_not_the_last():
    """What stands behind it may point past it."""
    message = answer("a", types.A, a("a", "192.0.2.1"))
    wire = bytearray(message.encode())
    wire[11] = 2
    wire += encode_opt(Edns(), types.BADVERS) + b"\1z\0\0\1\0\1\0\0\0\x05\0\4\1\2\3\4"
    prepared = prepare(bytes(wire))
    assert (prepared.rcode, prepared.ttl, prepared.lasting) == (types.BADVERS, 5, False)
    reply = parse(prepared.answer(7, prepared.question, RECURSION_DESIRED, 5))
    assert reply.additional == (a("z", "1.2.3.4", 5),)
    assert reply.edns is None


# How long


@pytest.mark.parametrize(
    ("message", "ttl"),
    [
        (USUAL, 60),
        (answer("a", types.A, a("a", "192.0.2.1", 300)), 300),
        (answer("a", types.A, a("a", "192.0.2.1", 300), a("a", "192.0.2.2", 200)), 200),
        (answer("a", types.A, a("a", "192.0.2.1", 300), authority=(Record("a", types.NS, 100, b"\0"),)), 100),
        (answer("a", types.A, a("a", "192.0.2.1", 300), additional=(a("b", "192.0.2.1", 50),)), 50),
        (answer("a", types.A, a("a", "192.0.2.1", 0)), 0),
        (answer("a", types.A, a("a", "192.0.2.1", MOST)), MOST),
        (answer("a", types.A, a("a", "192.0.2.1", MOST + 1)), 0),  # RFC 2181 section 8
        # The SOA record of a positive answer says nothing about how long that is good for.
        (answer("a", types.A, a("a", "192.0.2.1", 300), authority=(soa("a", 900, 5),)), 300),
        (answer("a", types.ANY, a("a", "192.0.2.1", 300)), 300),
        (answer("a", types.CNAME, cname("a", "b", 300)), 300),
        (answer("a", types.SOA, soa("a", 300, 5)), 300),
        (answer("a", types.A, cname("a", "b", 300), a("b", "192.0.2.1", 30)), 30),
    ],
)
def test_what_there_is(message, ttl):
    prepared = prepare(message.encode())
    assert (prepared.ttl, prepared.negative, prepared.lasting) == (ttl, False, True)


@pytest.mark.parametrize("rcode", [types.NOERROR, types.NXDOMAIN])
@pytest.mark.parametrize(
    ("records", "authority", "ttl"),
    [
        ((), (soa("a", 900, 300),), 300),
        ((), (soa("a", 100, 300),), 100),
        ((), (soa("a", 100, 0),), 0),
        ((), (soa("a", 100, 2**31),), 100),
        ((), (Record("a", types.NS, 50, b"\0"), soa("a", 100, 300)), 50),
        ((cname("a", "b", 20),), (soa("b", 900, 300),), 20),
        ((cname("a", "b", 2000),), (soa("b", 900, 300),), 300),
    ],
)
def test_what_there_is_not(rcode, records, authority, ttl):
    """RFC 2308: the lesser of the SOA record's TTL and of what it says itself."""
    prepared = prepare(answer("a", types.A, *records, authority=authority, rcode=rcode).encode())
    assert (prepared.ttl, prepared.negative, prepared.lasting, prepared.rcode) == (ttl, True, True, rcode)


@pytest.mark.parametrize(
    "message",
    [
        answer("a", types.A),
        answer("a", types.A, rcode=types.NXDOMAIN),
        answer("a", types.A, cname("a", "b")),
        answer("a", types.A, authority=(Record("a", types.NS, 50, b"\0"),)),  # a referral
        answer("a", types.A, additional=(soa("a"),)),  # out of place
        answer("a", types.ANY),
        answer("a", types.A, a("a", "192.0.2.1"), rcode=types.SERVFAIL),
        answer("a", types.A, rcode=types.REFUSED, authority=(soa("a"),)),
        answer("a", types.A, a("a", "192.0.2.1"), rcode=types.BADCOOKIE, edns=Edns()),
    ],
)
def test_what_may_not_be_remembered(message):
    prepared = prepare(message.encode())
    assert not prepared.lasting
    assert prepared.rcode == message.rcode


# What is no answer


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        make_query("a", types.A),
        replace(USUAL, truncated=True).encode(),
        Message(response=True).encode(),
        WIRE + b"\0",
        replace(USUAL, edns=None).encode() + b"\0",
        WIRE[:4] + b"\0\2" + WIRE[6:],
        WIRE[:6] + b"\xff\xff" + WIRE[8:],
        answer("a", types.A, authority=(Record("", 65280, 1, b"\0" * 21),))
        .encode()
        .replace(b"\xff\0\0\1", b"\0\6\0\1"),
    ],
)
def test_what_can_not_be_prepared(wire):
    with pytest.raises(ProtocolError):
        prepare(wire)


def test_every_beginning_is_refused():
    for message in (USUAL, replace(USUAL, edns=None), answer("a", types.A, authority=(soa("a"),))):
        wire = message.encode()
        for end in range(len(wire)):
            with pytest.raises(ProtocolError):
                prepare(wire[:end])


@settings(max_examples=300)
@given(message=messages, ttl=st.integers(0, MOST))
def test_all_but_the_ttl_comes_again(message, ttl):
    message = replace(message, response=True, truncated=False, question=Question("a.b", types.A), id=7)
    given_again = again(message, flags=0xFFFF, ttl=ttl)
    sections = [
        tuple(record._replace(ttl=ttl) for record in section)
        for section in (message.answer, message.authority, message.additional)
    ]
    assert given_again == replace(
        message, edns=None, answer=sections[0], authority=sections[1], additional=sections[2],
        recursion_desired=True, checking_disabled=True, rcode=message.rcode & 0xF,
    )  # fmt: skip


@settings(max_examples=300)
@given(message=messages, data=st.data())
def test_whatever_is_prepared_can_be_given_again(message, data):
    wire = bytearray(replace(message, response=True, truncated=False, question=Question("a.b", types.A)).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        wire[data.draw(st.integers(4, len(wire) - 1))] = data.draw(st.integers(0, 255))
    try:
        prepared = prepare(bytes(wire))
    except ProtocolError:
        return
    twice = prepare(prepared.answer(0, prepared.question, 0, prepared.ttl))
    assert twice.question == prepared.question
    assert twice.ttl == prepared.ttl
