"""gproxy.protocol.http.inbound: CONNECT, authentication, and every refusal in its own words."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gproxy.base.address import UNSPECIFIED
from gproxy.base.errors import (
    AuthError,
    DialError,
    GproxyError,
    Overloaded,
    ProtocolError,
    Rejected,
    TooLarge,
    Unsupported,
)
from gproxy.net import farewell
from gproxy.net.buffered import Buffered
from gproxy.protocol.http import intake
from gproxy.protocol.http.wire import ESTABLISHED, encode_basic
from gproxy.wire.http1 import RequestHead
from tests.protocol.http.lab import Lab, make_inbound
from tests.support.dispatch import RecordingDispatcher
from tests.support.pipe import pipe
from tests.support.playbook import converse, new_session, play
from tests.wire.http1.laws_http1 import fields
from tests.wire.http1.test_body import SMUGGLING
from tests.wire.http1.test_head import REFUSED_HEADS

pytestmark = pytest.mark.usefixtures("no_leaks")

CONNECT = b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n%s\r\n"
GET = b"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n%s\r\n"
OK = b"HTTP/1.1 204 No Content\r\n\r\n"
USERS = (("alice", "pw:1"), ("bob", "pw2"), ("bob", "pw3"), ("zo\xe9", "\xfcn"))


def refused(status, *, close=True, body=True):
    """The pattern of a refusal."""
    ends = rb"Connection: close\r\n" if close else b""
    text = rb"%d [^\n]+\n" % status if body else b""
    return re.compile(rb"HTTP/1\.1 %d [^\r]+\r\n((?:(?!Connection)[^\r]+\r\n)*)%s\r\n%s" % (status, ends, text))


def credentials(name, password):
    return b"Proxy-Authorization: " + encode_basic(name, password) + b"\r\n"


def playing(*users, chunk=0, **behaviour):
    dispatcher = RecordingDispatcher(**behaviour)
    return play(make_inbound(dispatcher, *users).accept, chunk=chunk), dispatcher


@pytest.mark.parametrize("chunk", [0, 1, 7])
def test_connect(chunk):
    client, dispatcher = playing(chunk=chunk)
    client >> CONNECT % b"" << ESTABLISHED
    client >> b"ping" << b"ping"
    client.end().closed()
    assert str(dispatcher.session.target) == "example.com:443"
    assert dispatcher.session.user is None


def test_bytes_that_come_with_connect_are_payload():
    client, dispatcher = playing()
    client >> CONNECT % b"" + b"\x16\x03\x01 hello" << ESTABLISHED + b"\x16\x03\x01 hello"
    client.end().closed()
    assert dispatcher.received == b"\x16\x03\x01 hello"


def test_a_stream_whose_first_bytes_were_read_is_served_too():
    """As the mixed inbound hands it on."""
    dispatcher = RecordingDispatcher()
    inbound = make_inbound(dispatcher)

    def accept(stream):
        buffered = Buffered(stream)
        assert buffered.peek() == b"C"
        inbound.accept(buffered, new_session())

    client = converse(accept, chunk=1)
    client >> CONNECT % b"" << ESTABLISHED
    client.end().closed()


def test_the_stream_is_bare_again_after_connect():
    """So that the relay may move bytes beneath us."""
    seen = []

    class Bare(RecordingDispatcher):
        def stream(self, session, stream, reply):
            seen.append(stream.bare())

    class Fd:
        def __init__(self, inner):
            self.inner = inner

        def __getattr__(self, name):
            return getattr(self.inner, name)

        def bare(self):
            return 7

    near, far = pipe()
    far.sendall(CONNECT % b"")
    make_inbound(Bare()).accept(Fd(near), new_session())
    assert seen == [7]


@pytest.mark.parametrize(
    ("why", "status"),
    [
        (DialError(reason="refused"), 502),
        (DialError(reason="dns"), 502),
        (DialError(reason="unreachable"), 502),
        (DialError(reason="timeout"), 504),
        (Overloaded(reason="connections"), 503),
        (Rejected("rule 3"), 403),
    ],
)
def test_a_tunnel_that_can_not_be_had(why, status):
    client, dispatcher = playing(error=why)
    client >> CONNECT % b"" << refused(status)
    client.ended().end().closed()
    assert dispatcher.sessions


def test_a_dropped_session_hears_nothing():
    client, _ = playing(error=Rejected(drop=True))
    client >> CONNECT % b""
    client.closed()


@pytest.mark.parametrize("why", [DialError(reason="refused"), Overloaded()])
def test_a_refused_request_lets_the_next_one_come(why):
    client, dispatcher = playing(error=why)
    status = 502 if isinstance(why, DialError) else 503
    client >> GET % b"" << refused(status, close=False)
    client >> (GET % b"").replace(b"GET", b"HEAD") << refused(status, close=False, body=False)
    client >> GET % b"Connection: close\r\n" << refused(status)
    client.ended().end().closed()
    assert len(dispatcher.sessions) == 3


def test_a_refused_request_with_a_body_ends_the_connection():
    client, _ = playing(error=DialError(reason="timeout"))
    client >> GET % b"Content-Length: 5\r\n" + b"abcde" + GET % b"" << refused(504)
    client.ended().end().closed()


def test_a_rule_that_drops_a_request_drops_the_client():
    lab = Lab(silently=True)
    lab.client >> GET % b""
    lab.client.closed()


@pytest.mark.parametrize(
    ("raw", "status", "error"),
    [
        (b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", 400, ProtocolError),
        (b"OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n", 400, ProtocolError),
        (b"GET a.test:80 HTTP/1.1\r\nHost: a.test\r\n\r\n", 400, ProtocolError),
        (b"GET http://u:p@a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 400, ProtocolError),
        (b"GET http://a.test/ HTTP/1.1\r\n\r\n", 400, ProtocolError),
        (b"GET http://a.test/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, ProtocolError),
        (b"CONNECT a.test HTTP/1.1\r\nHost: a.test\r\n\r\n", 400, ProtocolError),
        (b"CONNECT a.test:0 HTTP/1.1\r\nHost: a.test\r\n\r\n", 400, ProtocolError),
        (b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\n", 400, ProtocolError),
        (b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n", 400, ProtocolError),
        (b"CONNECT http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 400, ProtocolError),
        (b"GET /\r\n", 400, ProtocolError),
        (b"\x16\x03\x01\x02\x00\x01", 400, ProtocolError),
        (b"\x05\x01\x00", 400, ProtocolError),
        (b"GET http://a.test/ HTTP/1.1\nHost: a.test\n\n", 400, ProtocolError),
        (b"TRACE http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 405, Unsupported),
        (b"OPTIONS http://a.test HTTP/1.1\r\nHost: a.test\r\nMax-Forwards: 0\r\n\r\n", 405, Unsupported),
        (b"POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9999999999999999999\r\n\r\n", 413, TooLarge),
        (b"GET http://a.test/" + b"a" * 20_000, 414, TooLarge),
        (b"GET http://a.test/ HTTP/1.1\r\nX: " + b"a" * 70_000, 431, TooLarge),
        (b"GET http://a.test/ HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", 431, TooLarge),
        (b"GET https://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 501, Unsupported),
        (b"POST http://a.test/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501, Unsupported),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, Unsupported),
    ],
)
def test_bad_requests_get_their_status_and_a_close(raw, status, error):
    client, dispatcher = playing()
    if not raw.endswith(b"\r\n\r\n") and status == 400:
        client >> raw
        client.end()
    else:
        client >> raw
    client << refused(status)
    client.ended().end().closed(error)
    assert not dispatcher.sessions


def test_405_says_what_is_allowed():
    client, _ = playing()
    client >> b"TRACE http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n"
    client << re.compile(rb"HTTP/1\.1 405 [^\r]+\r\nAllow: CONNECT, GET,[^\r]+\r\n(?:[^\r]+\r\n)+\r\n[^\n]+\n")
    client.end().closed(Unsupported)


def test_a_client_that_says_nothing_is_no_error_of_protocol_worth_an_answer():
    client, _ = playing()
    client.end().closed(ProtocolError)
    assert client.error().reason == "empty"


def test_a_slow_loris_gets_408(monkeypatch):
    monkeypatch.setattr(intake, "HANDSHAKE_TIMEOUT", 0.05)
    client, _ = playing()
    client >> b"GET http://a.test/ HTTP/1.1\r\nX: "
    client << refused(408)
    client.ended().end().closed(ProtocolError)
    assert client.error().word == "protocol-timeout"


def test_an_idle_kept_client_is_let_go(monkeypatch):
    monkeypatch.setattr(intake, "HTTP_KEEP_ALIVE", 0.05)
    client, _ = playing(error=DialError(reason="refused"))
    client >> GET % b"" << refused(502, close=False)
    client.closed()


def test_a_client_that_does_not_stop_sending_is_not_heard_for_ever(monkeypatch):
    monkeypatch.setattr(farewell, "LINGER", 0.05)
    client, _ = playing()
    client >> b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" << refused(400)
    client.closed(ProtocolError)


# -- users ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "password"), USERS)
def test_right_credentials(name, password):
    client, dispatcher = playing(*USERS)
    client >> CONNECT % credentials(name, password) << ESTABLISHED
    client.end().closed()
    assert dispatcher.session.user == name


def test_credentials_never_reach_the_server():
    lab = Lab(*USERS)
    lab.client >> GET % credentials("alice", "pw:1")
    server = lab.server().hear(GET.replace(b"http://a.test/", b"/") % b"").say(OK)
    lab.client << OK
    lab.client.end().closed()
    server.hear_end()


@pytest.mark.parametrize(
    "field",
    [
        credentials("alice", "pw"),
        credentials("alice", ""),
        credentials("carol", "pw2"),
        credentials("carol", ""),
        credentials("", ""),
        credentials("alice", "pw:1") * 2,
        b"Proxy-Authorization: Basic\r\n",
        b"Proxy-Authorization: Basic !!!!\r\n",
        b"Proxy-Authorization: Basic YWxpY2U=\r\n",
        b"Proxy-Authorization: Bearer abc\r\n",
        b"Proxy-Authorization: \r\n",
    ],
)
def test_wrong_credentials_end_the_connection(field):
    client, dispatcher = playing(*USERS)
    client >> CONNECT % field << refused(407)
    client.ended().end().closed(AuthError)
    assert not dispatcher.sessions
    assert "pw" not in str(client.error())


def test_a_client_that_was_asked_for_credentials_may_try_again():
    client, dispatcher = playing(*USERS)
    client >> CONNECT % b"Authorization: Basic YWxpY2U6cHc6MQ==\r\n"
    client << re.compile(
        rb"HTTP/1\.1 407 Proxy Authentication Required\r\n"
        rb"Proxy-Authenticate: Basic realm=\"gproxy\", charset=\"UTF-8\"\r\n"
        rb"Content-Type: text/plain\r\nContent-Length: [0-9]+\r\n\r\n"
        rb"407 Proxy Authentication Required \(auth-missing\)\n"
    )
    client >> CONNECT % credentials("bob", "pw3") << ESTABLISHED
    client.end().closed()
    assert dispatcher.session.user == "bob"


def test_a_client_that_leaves_when_asked_for_credentials_is_written_down():
    client, _ = playing(*USERS)
    client >> GET % b"" << refused(407, close=False)
    client.end().closed(AuthError)
    assert client.error().word == "auth-missing"


def test_credentials_are_asked_for_before_anything_else_is_told():
    client, _ = playing(*USERS)
    client >> b"GET https://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc" << refused(407)
    client.ended().end().closed(AuthError)


def test_requests_of_different_users_do_not_share_a_connection():
    lab = Lab(*USERS)
    lab.client >> GET % credentials("alice", "pw:1") + GET % credentials("bob", "pw2") + GET % b""
    first = lab.server().hear(GET.replace(b"http://a.test/", b"/") % b"").say(OK).hear_end()
    second = lab.server().hear(GET.replace(b"http://a.test/", b"/") % b"").say(OK).hear_end()
    lab.client << OK + OK
    lab.client << refused(407, close=False)
    lab.client.end().closed(AuthError)
    assert [session.user for session in lab.upstreams.sessions] == ["alice", "bob"]
    assert first is not second


def test_without_users_credentials_mean_nothing():
    client, dispatcher = playing()
    client >> CONNECT % b"Proxy-Authorization: Bearer x\r\n" << ESTABLISHED
    client.end().closed()
    assert dispatcher.session.user is None


def test_each_connection_to_a_server_is_a_session_of_its_own():
    session = new_session()
    dispatcher = RecordingDispatcher(error=DialError(reason="refused"))
    client = play(make_inbound(dispatcher).accept, session)
    client >> GET % b"" + (GET % b"").replace(b"a.test", b"b.test")
    client << refused(502, close=False) << refused(502, close=False)
    client.end().closed()
    assert [str(each.target) for each in dispatcher.sessions] == ["a.test:80", "b.test:80"]
    assert session.target == UNSPECIFIED
    assert all(each is not session and each.id == session.id for each in dispatcher.sessions)


# What a request must never come to a server with, each beside a second request that would be smuggled.
SMUGGLED = {f"head: {name}": raw for name, raw in REFUSED_HEADS.items()} | {
    f"framing: {name}": RequestHead(b"POST", b"http://a.test/", 1, fields((b"Host", b"a.test"), *pairs)).encode()
    for name, pairs in SMUGGLING.items()
}


@pytest.mark.parametrize("head", SMUGGLED.values(), ids=SMUGGLED)
def test_nothing_is_smuggled(head):
    client, dispatcher = playing()
    client >> head.replace(b"GET / ", b"GET http://a.test/ ") + b"0\r\n\r\n" + GET % b""
    client << re.compile(rb"HTTP/1\.1 (400|501) [^\r]+\r\n(?:[^\r]+\r\n)*Connection: close\r\n\r\n[^\n]+\n")
    client.ended().end().closed(ProtocolError)
    assert not dispatcher.sessions


WORDS = st.sampled_from(
    [
        b"GET ",
        b"CONNECT ",
        b"http://a.test/",
        b"a.test:443",
        b" HTTP/1.1",
        b"\r\n",
        b"Host: a.test\r\n",
        b"\n",
        b"\0",
        b": ",
        b"Content-Length: 1\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"\r\n\r\n",
        b"x",
        GET % b"",
        CONNECT % b"",
        b"0\r\n\r\n",
    ],
)


@settings(max_examples=150)
@given(st.lists(WORDS, max_size=12).map(b"".join))
def test_any_bytes_are_served_or_refused(data):
    client, _ = playing(error=DialError(reason="refused"))
    client >> data
    client.end()
    error = client.error()
    assert error is None or isinstance(error, GproxyError), repr(error)
    client.stop()
