"""gproxy.protocol.http.refusal: every error has a status, and none tells a secret."""

from __future__ import annotations

import pytest

from gproxy.base import errors
from gproxy.base.errors import (
    AuthError,
    ConfigError,
    DialError,
    GproxyError,
    Overloaded,
    ProtocolError,
    Rejected,
    ReplayError,
    StreamClosed,
    TooLarge,
    Unsupported,
)
from gproxy.protocol.http.refusal import ForwardReply, TunnelReply, encode_refusal, status_for, tell
from gproxy.protocol.http.wire import ESTABLISHED
from gproxy.wire.cursor import Cursor
from gproxy.wire.http1 import decode_response, response_body
from tests.support.pipe import pipe


@pytest.mark.parametrize(
    ("why", "status"),
    [
        (ProtocolError(), 400),
        (ProtocolError(reason="timeout"), 408),
        (AuthError(), 407),
        (ReplayError(), 400),
        (TooLarge(), 431),
        (TooLarge(reason="target"), 414),
        (TooLarge(reason="length"), 413),
        (TooLarge(reason="chunk"), 400),
        (Unsupported(), 501),
        (Unsupported(reason="method"), 405),
        (Unsupported(reason="version"), 505),
        (Unsupported(reason="scheme"), 501),
        (DialError(), 502),
        (DialError(reason="timeout"), 504),
        (Rejected(), 403),
        (Overloaded(), 503),
        (StreamClosed(), 502),
        (ConfigError(), 500),
        (GproxyError(), 500),
    ],
)
def test_statuses(why, status):
    assert status_for(why) == status


def test_every_class_of_errors_can_be_told():
    for thing in vars(errors).values():
        if isinstance(thing, type) and issubclass(thing, GproxyError):
            head = decode_response(Cursor(encode_refusal(thing())))
            assert head.status == status_for(thing())


def test_a_refusal_is_a_whole_response():
    for close in (True, False):
        raw = encode_refusal(DialError("10.0.0.1: secret", reason="refused"), close=close)
        cursor = Cursor(raw)
        head = decode_response(cursor)
        body = response_body(head, b"GET")
        assert body.feed(cursor.rest()) == (b"502 Bad Gateway (dial-refused)\n", b"")
        assert body.complete
        assert head.fields.values(b"connection") == ([b"close"] if close else [])
        assert (
            encode_refusal(DialError(reason="refused"), close=close, head_only=True)
            == raw[: -len(b"502 Bad Gateway (dial-refused)\n")]
        )


def test_only_the_first_word_to_a_tunnel_counts():
    near, far = pipe()
    reply = TunnelReply(near)
    reply.accept()
    reply.reject(DialError())
    reply.accept()
    assert far.unread == ESTABLISHED
    assert not reply.rejected


def test_a_dropped_tunnel_hears_nothing():
    near, far = pipe()
    reply = TunnelReply(near)
    reply.reject(Rejected(drop=True))
    assert far.unread == b""


def test_replies_do_not_raise_when_nobody_listens():
    near, far = pipe()
    far.close()
    TunnelReply(near).accept()
    assert not tell(near, b"hello")


def test_only_the_first_word_about_a_request_counts():
    why = DialError()
    reply = ForwardReply()
    reply.reject(why)
    reply.accept()
    reply.reject(Overloaded())
    assert (reply.accepted, reply.why) == (False, why)
    reply = ForwardReply()
    reply.accept()
    reply.reject(why)
    assert (reply.accepted, reply.why) == (True, None)
