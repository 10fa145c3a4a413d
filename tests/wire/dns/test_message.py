"""Whole messages: what is read and written, what is refused, and dnspython as a second opinion."""

from __future__ import annotations

import struct
from dataclasses import replace
from ipaddress import ip_address

import dns.exception
import dns.flags
import dns.message
import dns.rrset
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gproxy.base.errors import ProtocolError, Unsupported
from gproxy.wire.dns import types
from gproxy.wire.dns.message import (
    MAX_MESSAGE,
    Edns,
    Message,
    Question,
    Record,
    addresses_of,
    encode_opt,
    error_reply,
    make_query,
    parse,
    parse_query,
    parse_record,
    truncate,
)
from gproxy.wire.dns.name import encode_name
from tests.wire.dns.samples import USUAL, a, answer, cname, messages, soa
from tests.wire.dns.test_name import Counted

WIRE = USUAL.encode()
QUERY = make_query("a.example", types.AAAA)
HEAD = struct.Struct("!HHHHHH")
OPT = encode_opt(Edns())


def head(*counts, flags=0x8180):
    return HEAD.pack(7, flags, *counts)


def test_an_answer_is_read():
    message = parse(WIRE)
    assert message == USUAL
    assert message.question == Question("www.example.com", types.A, types.IN)
    assert message.answer[0] == Record("www.example.com", types.CNAME, 300, b"\3cdn\7example\3net\0")
    assert message.answer[3] == Record("cdn.example.net", types.A, 60, bytes([192, 0, 2, 3]))


def test_names_are_compressed():
    assert len(WIRE) == 12 + 17 + 4 + (12 + 17) + 3 * (12 + 4) + len(OPT)
    assert WIRE.count(b"\3cdn\7example\3net\0") == 1


def test_names_in_data_are_compressed_where_rfc_1035_allows_it_and_read_where_anybody_may():
    records = (
        Record("example.com", types.MX, 1, b"\0\x0a" + encode_name("mail.example.com")),
        Record("example.com", types.SRV, 1, bytes(6) + encode_name("mail.example.com")),
    )
    wire = answer("example.com", types.ANY, *records).encode()
    assert wire.count(b"\4mail\xc0\x0c") == 1
    assert wire.count(b"\4mail\7example\3com\0") == 1
    assert parse(wire).answer == records
    # A server may compress SRV all the same (RFC 2782 left it open).
    compressed = head(1, 1, 0, 0) + b"\7example\3com\0\0\x21\0\1" + b"\xc0\x0c\0\x21\0\1\0\0\0\1\0\x0d" + bytes(6)
    compressed += b"\4mail\xc0\x0c"
    assert parse(compressed).answer == (records[1],)


def test_pointers_reach_only_so_far():
    """Offsets have 14 bits; names that stand behind are written in full."""
    records = tuple(
        record
        for number in range(400)
        for record in (Record("a", types.TXT, 1, bytes(80)), cname(f"host{number // 2}.example", "target.example"))
    )
    message = answer("a", types.ANY, *records)
    assert len(message.encode()) > 0x8000
    assert parse(message.encode()) == message


def test_the_case_of_letters_in_data_stays():
    message = answer("example.com", types.CNAME, cname("example.com", "Target.Example.COM"))
    assert parse(message.encode()).answer[0].data == b"\6Target\7Example\3COM\0"


def test_every_flag_has_its_place():
    flags = {
        "response": 0x8000, "authoritative": 0x0400, "truncated": 0x0200, "recursion_desired": 0x0100,
        "recursion_available": 0x0080, "authentic": 0x0020, "checking_disabled": 0x0010,
    }  # fmt: skip
    for name, bit in flags.items():
        message = replace(Message(recursion_desired=False), **{name: True})
        assert message.encode()[2:4] == bit.to_bytes(2, "big")
        assert parse(message.encode()) == message
    assert Message(recursion_desired=False, opcode=5, rcode=9).encode()[2:4] == b"\x28\x09"


def test_the_response_code_has_twelve_bits_with_edns():
    message = answer("a", types.A, rcode=types.BADVERS, edns=Edns())
    assert message.encode()[3] & 0xF == 0
    assert parse(message.encode()).rcode == types.BADVERS
    with pytest.raises(ValueError):
        replace(message, edns=None).encode()


def test_edns_is_read():
    options = ((types.PADDING, bytes(7)), (types.COOKIE, b"cookie!!"))
    wire = make_query("a", types.A, edns=Edns(4096, True, 0, options))
    assert parse_query(wire).edns == Edns(4096, True, 0, options)
    assert parse_query(wire).encode() == wire
    assert parse_query(make_query("a", types.A, edns=Edns(version=3))).edns.version == 3


@pytest.mark.parametrize(
    "wire",
    [
        head(1, 0, 0, 2) + QUERY[12:] + OPT + OPT,  # two of them
        head(1, 1, 0, 0) + QUERY[12:] + OPT,  # in the answer
        head(1, 0, 1, 0) + QUERY[12:] + OPT,  # in the authority
        head(1, 0, 0, 1) + QUERY[12:] + b"\1a" + OPT,  # of a name
        head(1, 0, 0, 1) + QUERY[12:] + b"\0\0\x29\4\xd0\0\0\0\0\0\3\0\x0c\0",  # half an option
        head(1, 0, 0, 1) + QUERY[12:] + b"\0\0\x29\4\xd0\0\0\0\0\0\4\0\x0c\0\1",  # a longer one
    ],
)
def test_bad_edns_is_refused(wire):
    with pytest.raises(ProtocolError):
        parse(wire)


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        WIRE + b"\0",
        head(2, 0, 0, 0) + QUERY[12:] * 2,
        head(0xFFFF, 0, 0, 0) + QUERY[12:],
        head(1, 1, 0, 0) + QUERY[12:],
        head(1, 0, 0, 0xFFFF) + QUERY[12:],
        head(0, 0, 0, 0) + QUERY[12:],
        head(1, 1, 0, 0) + QUERY[12:] + b"\xc0\x0c\0\1\0\1\0\0\0\1\xff\xff1234",  # data that isn't there
        head(1, 1, 0, 0) + QUERY[12:] + b"\xc0\x1b\0\1\0\1\0\0\0\1\0\0",  # its own name
        head(1, 1, 0, 0) + QUERY[12:] + b"\xc0\xff\0\1\0\1\0\0\0\1\0\0",  # forwards
        head(1, 1, 0, 0) + QUERY[12:] + b"\xc0\x0c\0\5\0\1\0\0\0\1\0\2\xc0\x27",  # an alias that is itself
        head(1, 1, 0, 0) + QUERY[12:] + b"\xc0\x0c\0\5\0\1\0\0\0\1\0\0",  # an alias of nothing
        head(1, 1, 0, 0) + QUERY[12:] + b"\xc0\x0c\0\5\0\1\0\0\0\1\0\1\1a\0",  # longer than its record
        # longer than its record, and the next one begins within it
        head(1, 2, 0, 0) + QUERY[12:] + b"\xc0\x0c\0\5\0\1\0\0\0\1\0\1\1" + b"\1\0\0\0\1\0\1\0\0\0\1\0\0",
    ],
)
def test_lies_are_refused(wire):
    with pytest.raises(ProtocolError):
        parse(wire)


def test_every_beginning_of_a_message_is_refused():
    for wire in (WIRE, make_query("a.b", 1, edns=Edns(options=((types.PADDING, bytes(5)),)))):
        for end in range(len(wire)):
            with pytest.raises(ProtocolError):
                parse(wire[:end])


def test_a_query_is_no_answer_and_has_one_question():
    assert parse_query(QUERY).question == Question("a.example", types.AAAA)
    for wire in (WIRE, head(0, 0, 0, 0, flags=0x0100), QUERY[:11]):
        with pytest.raises(ProtocolError):
            parse_query(wire)
    with pytest.raises(Unsupported) as refused:
        parse_query(QUERY[:2] + b"\x20" + QUERY[3:])
    assert refused.value.word == "unsupported-opcode"


def test_a_query_has_few_records():
    record = b"\0\xff\0\0\1\0\0\0\0\0\0"
    assert len(parse_query(head(1, 0, 0, 8, flags=0) + QUERY[12:] + record * 8).additional) == 8
    with pytest.raises(ProtocolError):
        parse_query(head(1, 0, 0, 9, flags=0) + QUERY[12:] + record * 9)


def test_queries():
    assert HEAD.pack(0, 0x0100, 1, 0, 0, 0) + b"\1a\7example\0\0\x1c\0\1" == QUERY
    wire = make_query(
        "", types.NS, cls=3, recursion_desired=False, authentic=True, checking_disabled=True, edns=Edns(512, True)
    )
    assert wire == HEAD.pack(0, 0x0030, 1, 0, 0, 1) + b"\0\0\2\0\3" + b"\0\0\x29\2\0\0\0\x80\0\0\0"
    with pytest.raises(ValueError):
        make_query("a..b", types.A)


def test_reading_takes_time_in_proportion_to_the_length():
    """Every record names the longest name there is, by a pointer to another place of it."""
    longest = b"\1a" * 127 + b"\0"
    count = (MAX_MESSAGE - 12 - len(longest) - 4) // 14
    records = b"".join(
        b"\1b" + (0xC000 | 12 + 2 + 2 * (index % 120)).to_bytes(2, "big") + b"\0\xff\0\1\0\0\0\0\0\0"
        for index in range(count)
    )
    wire = head(1, count, 0, 0) + longest + b"\0\1\0\1" + records
    Counted.looks = 0
    assert len(parse(Counted(wire)).answer) == count
    assert Counted.looks < 300 * count


# Failing, in the answer


def test_an_error_repeats_the_question():
    reply = error_reply(QUERY, types.SERVFAIL)
    assert reply == HEAD.pack(0, 0x8182, 1, 0, 0, 0) + QUERY[12:]
    asked = make_query("A.example", types.A, edns=Edns(4096, True), checking_disabled=True)
    assert parse(error_reply(asked, types.REFUSED)) == Message(
        0, True, recursion_available=True, checking_disabled=True, rcode=types.REFUSED,
        question=Question("a.example", types.A), edns=Edns(),
    )  # fmt: skip
    assert b"\1A\7example" in error_reply(asked, types.REFUSED)


def test_a_large_code_brings_edns():
    assert parse(error_reply(QUERY, types.BADVERS)).rcode == types.BADVERS


@pytest.mark.parametrize("query", [b"", QUERY[:11], WIRE, b"\xff" * 40])
def test_some_things_are_not_answered(query):
    assert error_reply(query, types.FORMERR) == b""


@pytest.mark.parametrize(
    "query", [QUERY[:-1], head(2, 0, 0, 0, flags=0) + QUERY[12:] * 2, head(0, 0, 0, 0, flags=0), b"\0\1" + bytes(10)]
)
def test_garbage_is_answered_without_a_question(query):
    reply = parse(error_reply(query, types.FORMERR))
    assert (reply.id, reply.rcode, reply.question) == (int.from_bytes(query[:2], "big"), types.FORMERR, None)


def test_another_opcode_is_repeated():
    assert parse(error_reply(QUERY[:2] + b"\x21" + QUERY[3:], types.NOTIMP)).opcode == types.NOTIFY


# Datagrams that are too small


def test_what_fits_is_left_alone():
    assert truncate(WIRE, len(WIRE)) is WIRE


def test_truncation_keeps_whole_records_and_the_opt_record():
    for limit in range(12 + 21 + 11, len(WIRE)):
        cut = truncate(WIRE, limit)
        message = parse(cut)
        assert len(cut) <= limit
        assert message.truncated
        assert message.edns == USUAL.edns
        assert message.answer == USUAL.answer[: len(message.answer)]
    assert len(parse(truncate(WIRE, len(WIRE) - 1)).answer) == 3
    assert parse(truncate(WIRE, 12 + 21 + 11)).answer == ()


def test_additional_records_are_not_missed():
    message = replace(USUAL, additional=(a("a.example", "192.0.2.7"), a("b.example", "192.0.2.8")))
    wire = message.encode()
    assert parse(truncate(wire, len(wire) - 1)) == replace(message, additional=message.additional[:1])
    assert parse(truncate(wire, len(WIRE))) == USUAL


def test_authorities_are_missed():
    message = replace(USUAL, authority=(soa("example.net"),))
    wire = message.encode()
    assert parse(truncate(wire, len(wire) - 1)) == replace(USUAL, truncated=True)


def test_what_stands_behind_the_opt_record_is_left_out():
    wire = head(1, 0, 0, 3) + QUERY[12:] + b"\1b\0\0\1\0\1\0\0\0\1\0\0" + OPT + b"\1c\0\0\1\0\1\0\0\0\1\0\0"
    message = parse(truncate(wire, len(wire) - 1))
    assert [record.name for record in message.additional] == ["b"]
    assert message.edns == Edns()


@pytest.mark.parametrize("wire", [bytes(5), head(1, 5, 0, 0) + QUERY[12:], head(3, 0, 0, 0) + QUERY[12:]])
def test_garbage_is_not_truncated(wire):
    with pytest.raises(ProtocolError):
        truncate(wire, 3)


@settings(max_examples=100)
@given(message=messages, limit=st.integers(12, 600))
def test_truncated_messages_are_messages(message, limit):
    message = replace(message, question=Question("a", 1), edns=None, rcode=0)
    cut = truncate(message.encode(), limit)
    assert len(cut) <= max(limit, 12 + 7)
    assert parse(cut).answer == message.answer[: len(parse(cut).answer)]


# Addresses


def test_addresses_follow_aliases():
    assert addresses_of(USUAL) == tuple(map(ip_address, ("192.0.2.1", "192.0.2.2", "192.0.2.3")))
    backwards = replace(USUAL, answer=USUAL.answer[::-1])
    assert addresses_of(backwards) == tuple(map(ip_address, ("192.0.2.3", "192.0.2.2", "192.0.2.1")))


@pytest.mark.parametrize(
    "records",
    [
        (),
        (a("other.example", "192.0.2.1"),),
        (cname("a", "b"), cname("b", "a")),
        (cname("a", "a"), a("b", "192.0.2.1")),
        (Record("a", types.A, 1, b"123"), Record("a", types.AAAA, 1, b"1234")),
        (Record("a", types.TXT, 1, b"\3123"),),
        (soa("a"),),
    ],
)
def test_what_is_no_address(records):
    assert addresses_of(answer("a", types.A, *records)) == ()
    assert addresses_of(replace(answer("a", types.A, *records), question=None)) == ()


def test_an_alias_that_has_addresses_itself():
    assert addresses_of(answer("a", types.A, cname("a", "b"), a("a", "192.0.2.1"))) == (ip_address("192.0.2.1"),)
    assert addresses_of(answer("a", types.AAAA, a("a", "2001:db8::1"))) == (ip_address("2001:db8::1"),)


def test_one_record():
    assert parse_record(b"\1a\0\0\1\0\1\0\0\0\5\0\4\x7f\0\0\1") == a("a", "127.0.0.1", 5)
    for wire in (b"", b"\1a\0\0\1\0\1\0\0\0\5\0\4\x7f\0\0", b"\1a\0\0\1\0\1\0\0\0\5\0\4\x7f\0\0\1\0"):
        with pytest.raises(ProtocolError):
            parse_record(wire)


@pytest.mark.parametrize(
    "message",
    [
        Message(id=65536),
        Message(question=Question("a", 65536)),
        Message(question=Question("a" * 64, 1)),
        Message(answer=(Record("a", 1, 2**32, b""),)),
        Message(answer=(Record("a", 16, 0, bytes(65536)),)),
        Message(answer=(Record("a", 16, 0, bytes(40000)),) * 2),
        Message(edns=Edns(size=65536)),
        Message(edns=Edns(options=((1, bytes(65536)),))),
        Message(answer=(Record("a", 5, 0, b"\3ab"),)),
        Message(answer=(Record("a", 5, 0, b""),)),
        Message(answer=(Record("a", 6, 0, b"\0"),)),
    ],
)
def test_what_cannot_be_written(message):
    with pytest.raises(ValueError):
        message.encode()


# The second opinion


def theirs_of(wire):
    return dns.message.from_wire(wire, one_rr_per_rrset=True)


def same(ours: Message, theirs: dns.message.Message) -> None:
    """Whether both have understood the same."""
    assert ours.id == theirs.id
    assert ours.response == bool(theirs.flags & dns.flags.QR)
    assert ours.opcode == theirs.opcode()
    assert ours.authentic == bool(theirs.flags & dns.flags.AD)
    if ours.question is not None:
        asked = theirs.question[0]
        assert (encode_name(ours.question.name), ours.question.type) == (
            asked.name.canonicalize().to_wire(),
            asked.rdtype,
        )
    for own, other in zip((ours.answer, ours.authority, ours.additional), theirs.sections[1:], strict=True):
        read = [
            (rrset.name.canonicalize().to_wire(), rrset.rdtype, rrset.ttl, rdata.to_wire())
            for rrset in other
            for rdata in rrset
        ]
        assert [(encode_name(name), kind, ttl, data) for name, kind, ttl, data, _ in own] == read
    if ours.edns is None:
        assert theirs.edns < 0
    else:
        assert (ours.edns.size, ours.edns.version) == (theirs.payload, theirs.edns)
        assert ours.edns.do == bool(theirs.ednsflags & dns.flags.DO)
        assert [(code, data) for code, data in ours.edns.options] == [
            (int(option.otype), option.to_wire()) for option in theirs.options
        ]
        assert ours.rcode == theirs.rcode()


@settings(max_examples=300)
@given(message=messages)
def test_dnspython_reads_what_we_write(message):
    # It knows what updates mean and what options contain, and it holds large TTLs for 0 (RFC 2181).
    message.opcode = types.QUERY
    cut = [
        tuple(record._replace(ttl=record.ttl & 0x7FFFFFFF) for record in section)
        for section in (message.answer, message.authority, message.additional)
    ]
    message.answer, message.authority, message.additional = cut
    if message.edns is not None:
        message.edns = message.edns._replace(
            options=tuple((65001 + code % 100, data) for code, data in message.edns.options)
        )
    if message.question is not None:
        message.question = message.question._replace(cls=types.IN)
    wire = message.encode()
    assert parse(wire) == message
    same(message, theirs_of(wire))


@settings(max_examples=200)
@given(message=messages)
def test_we_read_what_dnspython_writes(message):
    message.opcode = types.QUERY
    message.edns = None
    message.rcode &= 0xF
    try:
        theirs = theirs_of(message.encode())
    except dns.exception.DNSException:
        assume(False)
    wire = theirs.to_wire()
    same(parse(wire), theirs_of(wire))


@settings(max_examples=500)
@given(data=st.data())
def test_damage_is_judged_alike(data):
    """What dnspython takes we take, and understand alike, but for what it is laxer in."""
    wire = bytearray(WIRE)
    for _ in range(data.draw(st.integers(1, 3))):
        wire[data.draw(st.integers(12, len(wire) - 1))] = data.draw(
            st.sampled_from((0, 1, 2, 4, 12, 63, 64, 0xC0, 0xC1, 255))
        )
    try:
        theirs = theirs_of(bytes(wire))
    except (dns.exception.DNSException, ValueError):
        theirs = None
    try:
        ours = parse(bytes(wire))
    except ProtocolError:
        assert theirs is None or any(wire[at] >= 0xC0 and wire[at + 1] < 12 for at in range(12, len(wire) - 1))
        return
    if theirs is not None and all(rrset.rdclass == types.IN for section in theirs.sections for rrset in section):
        for section in (ours.answer, ours.authority, ours.additional):
            assume(all(record.ttl <= 0x7FFFFFFF for record in section))
        same(ours, theirs)
