"""gproxy.wire.http1.body: RFC 9112 sections 6 and 7, strictly."""

from __future__ import annotations

from itertools import pairwise

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gproxy.base.errors import ProtocolError, TooLarge, Unsupported
from gproxy.wire.cursor import Cursor, Incomplete
from gproxy.wire.http1 import (
    Chunked,
    RequestHead,
    ResponseHead,
    Sized,
    UntilEnd,
    check_host,
    decode_request,
    request_body,
    response_body,
)
from tests.wire.http1.laws_http1 import fields

TE, CL = b"Transfer-Encoding", b"Content-Length"
NEXT = b"GET / HTTP/1.1\r\n"


def request(*pairs, minor=1):
    return RequestHead(b"POST", b"/", minor, fields(*pairs))


def response(*pairs, status=200, minor=1):
    return ResponseHead(minor, status, b"", fields(*pairs))


# The vectors of request smuggling (CL.TE, TE.CL, TE.TE, CL.0 ...): each is read in two ways by some pair of programs.
SMUGGLING = {
    "CL and TE": [(CL, b"5"), (TE, b"chunked")],
    "TE and CL": [(TE, b"chunked"), (CL, b"0")],
    "TE twice": [(TE, b"chunked"), (TE, b"chunked")],
    "TE twice, one unknown": [(TE, b"chunked"), (TE, b"x")],
    "TE identity, then chunked": [(TE, b"identity"), (TE, b"chunked")],
    "unknown TE": [(TE, b"xchunked")],
    "TE not final": [(TE, b"chunked, gzip")],
    "TE with others": [(TE, b"gzip, chunked")],
    "TE twice in a list": [(TE, b"chunked, chunked")],
    "TE with a parameter": [(TE, b"chunked;q=1")],
    "TE in quotes": [(TE, b'"chunked"')],
    "TE with a comma": [(TE, b"chunked,")],
    "TE in brackets": [(TE, b"[chunked]")],
    "identity": [(TE, b"identity")],
    "empty TE": [(TE, b"")],
    "TE in obs-text": [(TE, b"chunke\xc4")],
    "same CL twice": [(CL, b"5"), (CL, b"5")],
    "other CL": [(CL, b"5"), (CL, b"6")],
    "CL in a list": [(CL, b"5, 5")],
    "CL with plus": [(CL, b"+5")],
    "negative CL": [(CL, b"-5")],
    "CL in hex": [(CL, b"0x5")],
    "CL with a leading zero": [(CL, b"05")],
    "CL with an underscore": [(CL, b"1_0")],
    "CL with a space": [(CL, b"1 0")],
    "CL with a fraction": [(CL, b"5.0")],
    "CL with an exponent": [(CL, b"1e1")],
    "empty CL": [(CL, b"")],
    "CL in other digits": [(CL, "\u0665".encode())],
}


@pytest.mark.parametrize("pairs", SMUGGLING.values(), ids=SMUGGLING)
def test_ambiguous_framing_is_refused_both_ways(pairs):
    with pytest.raises(ProtocolError):
        request_body(request(*pairs))
    for status, method in ((200, b"GET"), (304, b"GET"), (204, b"GET"), (200, b"HEAD")):
        with pytest.raises(ProtocolError):
            response_body(response(*pairs, status=status), method)


def test_transfer_encoding_in_http_1_0_is_refused():
    with pytest.raises(ProtocolError) as refusal:
        request_body(request((TE, b"chunked"), minor=0))
    assert not isinstance(refusal.value, Unsupported)
    with pytest.raises(ProtocolError):
        response_body(response((TE, b"chunked"), minor=0), b"GET")


def test_unknown_codings_and_huge_lengths_have_their_own_reasons():
    with pytest.raises(Unsupported) as refusal:
        request_body(request((TE, b"gzip, chunked")))
    assert refusal.value.reason == "coding"
    with pytest.raises(TooLarge) as large:
        request_body(request((CL, b"9" * 19)))
    assert large.value.reason == "length"


@pytest.mark.parametrize(
    ("head", "method", "kind", "complete"),
    [
        (response((CL, b"5")), b"GET", Sized, False),
        (response((CL, b"0")), b"GET", Sized, True),
        (response((TE, b"CHUNKED")), b"GET", Chunked, False),
        (response(), b"GET", UntilEnd, False),
        (response((CL, b"5")), b"HEAD", Sized, True),
        (response((TE, b"chunked")), b"HEAD", Sized, True),
        (response(), b"HEAD", Sized, True),
        (response((CL, b"5"), status=304), b"GET", Sized, True),
        (response((CL, b"5"), status=204), b"GET", Sized, True),
        (response(status=103), b"GET", Sized, True),
        (response(minor=0), b"GET", UntilEnd, False),
    ],
)
def test_response_framing(head, method, kind, complete):
    body = response_body(head, method)
    assert (type(body), body.complete) == (kind, complete)


def test_request_framing():
    assert request_body(request()).complete
    assert not request_body(request((CL, b"1"))).complete
    assert isinstance(request_body(request((TE, b"Chunked"))), Chunked)


def test_sized():
    body = Sized(5)
    assert body.feed(b"abc") == (b"abc", b"")
    assert not body.whole_at_end()
    assert body.feed(b"de" + NEXT) == (b"de", NEXT)
    assert body.complete
    assert body.whole_at_end()
    assert body.feed(NEXT) == (b"", NEXT)
    exact = Sized(3)
    assert exact.feed(b"abc") == (b"abc", b"")
    assert exact.complete


def test_until_end():
    body = UntilEnd()
    assert body.feed(b"abc") == (b"abc", b"")
    assert not body.complete
    assert body.whole_at_end()
    assert body.complete


CHUNKS = b"3;name=value\r\nabc\r\n00a\r\n0123456789\r\n0;last\r\nChecksum: 1\r\nContent-Length: 9\r\nTE: x\r\n\r\n"
PASSED_ON = b"3\r\nabc\r\na\r\n0123456789\r\n0\r\nChecksum: 1\r\n\r\n"


def feed(body, data, cuts=()):
    """Feed `data` in pieces cut at `cuts`: all that was passed on, and the rest after the end."""
    edges = [0, *sorted(cuts), len(data)]
    out, rest = b"", b""
    for start, end in pairwise(edges):
        if body.complete:
            rest += data[start:end]
        else:
            piece, rest = body.feed(data[start:end])
            out += piece
            assert not rest or body.complete
    return out, rest


def test_chunked_drops_extensions_and_harmful_trailers():
    body = Chunked()
    assert feed(body, CHUNKS + NEXT) == (PASSED_ON, NEXT)
    assert body.complete


def test_chunked_bare_gives_the_data_alone():
    assert feed(Chunked(bare=True), CHUNKS + NEXT) == (b"abc0123456789", NEXT)


@settings(max_examples=200)
@given(st.lists(st.integers(0, len(CHUNKS + NEXT)), max_size=12))
def test_chunked_does_not_depend_on_how_it_is_cut(cuts):
    assert feed(Chunked(), CHUNKS + NEXT, cuts) == (PASSED_ON, NEXT)


def test_chunked_byte_by_byte():
    body = Chunked()
    assert feed(body, CHUNKS, range(len(CHUNKS))) == (PASSED_ON, b"")
    assert body.whole_at_end()


def test_the_end_inside_chunks_is_no_end():
    for end in range(len(CHUNKS)):
        body = Chunked()
        body.feed(CHUNKS[:end])
        assert not body.whole_at_end()


BAD_CHUNKS = {
    "no size": b"\r\n",
    "not hexadecimal": b"g\r\n",
    "prefix": b"0x3\r\nabc\r\n",
    "sign": b"+3\r\nabc\r\n",
    "negative": b"-1\r\n",
    "space after the size": b"3 \r\nabc\r\n",
    "space before the size": b" 3\r\nabc\r\n",
    "space before the extension": b"3 ;a\r\nabc\r\n",
    "bare LF after the size": b"3\nabc\r\n",
    "bare LF in the extension": b"3;a\nb\r\nabc\r\n",
    "bare CR in the extension": b"3;\r1\r\nabc\r\n",
    "NUL in the extension": b"3;\0\r\nabc\r\n",
    "17 digits": b"00000000000000003\r\nabc\r\n",
    "underscore": b"1_0\r\n",
    "data longer than its size": b"3\r\nabcd\r\n",
    "bare LF after the data": b"3\r\nabc\n3\r\nabc\r\n",
    "no CRLF after the data": b"3\r\nabc3\r\nabc\r\n",
    "folded trailer": b"0\r\nA: b\r\n c\r\n\r\n",
    "space before a trailer's colon": b"0\r\nA : b\r\n\r\n",
    "bare LF after a trailer": b"0\r\nA: b\n\r\n\r\n",
    "bare LF as the end": b"0\r\n\n",
}


@pytest.mark.parametrize("data", BAD_CHUNKS.values(), ids=BAD_CHUNKS)
def test_ambiguous_chunks_are_refused(data):
    with pytest.raises(ProtocolError):
        feed(Chunked(), data)
    with pytest.raises(ProtocolError):
        feed(Chunked(), data, range(len(data)))


def test_lines_and_trailers_are_bounded():
    with pytest.raises(TooLarge) as refusal:
        feed(Chunked(), b"3;" + b"a" * 300)
    assert refusal.value.reason == "chunk"
    with pytest.raises(TooLarge):
        feed(Chunked(), b"0\r\nX: " + b"a" * 10_000)
    with pytest.raises(TooLarge):
        feed(Chunked(), b"0\r\n" + b"a: b\r\n" * 200 + b"\r\n")


@settings(max_examples=300)
@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=5))
def test_any_bytes_are_judged_the_same_however_they_are_cut(data, cuts):
    def judged(cuts):
        body = Chunked()
        try:
            return (*feed(body, data, [cut for cut in cuts if cut <= len(data)]), body.complete)
        except ProtocolError:
            return "refused"

    assert judged(()) == judged(cuts)


MESSAGES = [
    b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" + NEXT,
    b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n" + NEXT,
    b"PUT / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc" + NEXT,
]
DAMAGE = [
    b"\r", b"\n", b"\r\n", b" ", b"\t", b"\0", b":", b",", b";", b"0", b"5", b"+", b"-", b"_", b"\x0b", b"\x7f",
    b"\xe9", b"x", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"chunked", b"HTTP/1.1",
]  # fmt: skip


@settings(max_examples=1500)
@given(st.data())
def test_damaged_messages_end_where_h11_has_them_end(data):
    """Whatever we take, h11 takes, with the same body and rest: else a request could hide in the difference."""
    raw = bytearray(data.draw(st.sampled_from(MESSAGES)))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw)))
        raw[at : at + data.draw(st.integers(0, 4))] = data.draw(st.sampled_from([b"", *DAMAGE]))
    ours, theirs = read_ours(bytes(raw)), read_h11(bytes(raw))
    if ours is not None and not raw.startswith(b"\r\n"):  # h11 skips no empty line
        assert ours == theirs


def read_ours(raw):
    """The body and what follows it, or None if the message is refused or not all there."""
    cursor = Cursor(raw)
    try:
        head = decode_request(cursor)
        check_host(head)
        body = request_body(head)
        body = Chunked(bare=True) if isinstance(body, Chunked) else body
        data, rest = body.feed(cursor.rest())
    except (ProtocolError, Incomplete):
        return None
    return (head.method, data, rest) if body.complete else None


def read_h11(raw):
    reader = h11.Connection(h11.SERVER)
    reader.receive_data(raw)
    data, method = b"", None
    try:
        while not isinstance(event := reader.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                return None
            if isinstance(event, h11.Request):
                method = event.method
            else:
                data += bytes(event.data)
    except h11.RemoteProtocolError:
        return None
    return method, data, reader.trailing_data[0]
