"""gproxy.protocol.http.forward: conversations with a client and its servers at once."""

from __future__ import annotations

import re

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gproxy.base.errors import ProtocolError, StreamClosed
from gproxy.protocol.http import forward
from gproxy.rt.sockets import call_soon
from gproxy.rt.sync import sleep
from tests.protocol.http.lab import Lab
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")

GET = b"GET http://a.test/%s HTTP/1.1\r\nHost: a.test\r\n\r\n"
GOT = b"GET /%s HTTP/1.1\r\nHost: a.test\r\n\r\n"
POST = b"POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\n%s\r\n\r\n"
POSTED = b"POST / HTTP/1.1\r\nHost: a.test\r\n%s\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NO = b"HTTP/1.1 204 No Content\r\n\r\n"
OTHER = b"GET http://b.test:81/ HTTP/1.1\r\nHost: b.test:81\r\n\r\n"


def refusal(status):
    return re.compile(rb"HTTP/1\.1 %d [^\r]*\r\n(?:[^\r]+\r\n)*\r\n%d [^\n]*\n" % (status, status))


@pytest.fixture
def lab():
    lab = Lab()
    yield lab
    lab.client.stop()


@pytest.fixture(params=[0, 1], ids=["whole", "byte by byte"])
def any_lab(request):
    lab = Lab(chunk=request.param)
    yield lab
    lab.client.stop()


def test_requests_to_one_server_share_its_connection(any_lab):
    lab = any_lab
    lab.client >> GET % b"1"
    server = lab.server().hear(GOT % b"1").say(OK)
    lab.client << OK
    lab.client >> GET % b"2"
    server.hear(GOT % b"2").say(NO)
    lab.client << NO
    lab.client.end().closed()
    server.hear_end()
    assert lab.upstreams.targets() == ["a.test:80"]
    [outcome] = lab.upstreams.outcomes
    assert outcome.ended == "ok"
    assert outcome.up == len(GOT % b"1" + GOT % b"2")
    assert outcome.down == len(OK + NO)


def test_pipelined_requests_go_one_by_one(lab):
    lab.client >> GET % b"1" + GET % b"2" + OTHER
    server = lab.server().hear(GOT % b"1")
    sleep(0)
    assert server.silent()
    server.say(OK[:-1])
    lab.client << OK[:-1]
    sleep(0)
    assert server.silent()
    server.say(OK[-1:]).hear(GOT % b"2").say(OK)
    lab.client << OK[-1:] + OK
    server.hear_end()
    other = lab.server().hear(b"GET / HTTP/1.1\r\nHost: b.test:81\r\n\r\n").say(OK)
    lab.client << OK
    lab.client.end().closed()
    other.hear_end()
    assert lab.upstreams.targets() == ["a.test:80", "b.test:81"]
    assert [outcome.ended for outcome in lab.upstreams.outcomes] == ["ok", "ok"]


def test_bodies_are_streamed_both_ways(any_lab):
    lab = any_lab
    lab.client >> POST % b"Content-Length: 6" + b"abc"
    server = lab.server().hear(POSTED % b"Content-Length: 6" + b"abc")
    lab.client >> b"def" + GET % b"2"
    server.hear(b"def").say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab")
    lab.client << b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab"
    server.say(b"c\r\n0\r\nSum: 1\r\nTE: x\r\n\r\n")
    lab.client << b"c\r\n0\r\nSum: 1\r\n\r\n"
    server.hear(GOT % b"2").say(OK)
    lab.client << OK
    lab.client.end().closed()
    server.hear_end()


def test_a_chunked_request_passes_with_its_trailers(any_lab):
    lab = any_lab
    (
        lab.client
        >> POST % b"Transfer-Encoding: chunked\r\nTrailer: Sum" + b"5;ext\r\nhello\r\n0\r\nSum: 9\r\nHost: b\r\n\r\n"
    )
    server = lab.server().hear(POSTED % b"Transfer-Encoding: chunked\r\nTrailer: Sum")
    server.hear(b"5\r\nhello\r\n0\r\nSum: 9\r\n\r\n").say(OK)
    lab.client << OK
    lab.client.end().closed()
    server.hear_end()


def test_bad_chunks_end_the_request_with_400(lab):
    lab.client >> POST % b"Transfer-Encoding: chunked" + b"5\r\nhello\r\nxyz\r\n"
    server = lab.server().hear(POSTED % b"Transfer-Encoding: chunked")
    lab.client << refusal(400)
    lab.client.end().closed(ProtocolError)
    server.stream.close()


def test_100_continue_passes_and_lets_the_body_come(lab):
    lab.client >> POST % b"Expect: 100-continue\r\nContent-Length: 2"
    server = lab.server().hear(POSTED % b"Expect: 100-continue\r\nContent-Length: 2")
    server.say(b"HTTP/1.1 100 Continue\r\n\r\n")
    lab.client << b"HTTP/1.1 100 Continue\r\n\r\n"
    lab.client >> b"hi"
    server.hear(b"hi").say(b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\nContent-Length: 9\r\n\r\n" + OK)
    lab.client << b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" + OK
    lab.client.end().closed()
    server.hear_end()


def test_a_final_answer_instead_of_100_ends_the_connection(lab):
    lab.client >> POST % b"Expect: 100-continue\r\nContent-Length: 2"
    server = lab.server().hear(POSTED % b"Expect: 100-continue\r\nContent-Length: 2")
    server.say(b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n").hear_end()
    lab.client << b"HTTP/1.1 417 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    # What comes now may be the body or a request: nobody can tell, so nobody gets it.
    lab.client >> GET % b"smuggled"
    lab.client.ended().end().closed()
    assert len(lab.upstreams.sessions) == 1


def test_an_upgrade_becomes_a_tunnel(any_lab):
    lab = any_lab
    upgrade = b"Upgrade: websocket\r\nConnection: Upgrade"
    (
        lab.client >> b"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive, Upgrade\r\n"
        b"Upgrade: websocket\r\n\r\n"
    )
    server = lab.server().hear(b"GET / HTTP/1.1\r\nHost: a.test\r\n%s\r\n\r\n" % upgrade)
    server.say(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nX: y\r\n\r\nearly")
    lab.client << b"HTTP/1.1 101 Switching Protocols\r\nX: y\r\n%s\r\n\r\nearly" % upgrade
    lab.client >> GET % b"not a request any more"
    server.hear(GET % b"not a request any more").say(b"HTTP/1.1 not a response").end()
    lab.client << b"HTTP/1.1 not a response"
    lab.client.ended()
    lab.client >> b"half-close"
    server.hear(b"half-close")
    lab.client.end().closed()
    server.hear_end()


def test_an_upgrade_that_is_declined_is_a_request_like_others(lab):
    (
        lab.client
        >> b"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n" + GET % b"2"
    )
    server = lab.server().hear(b"GET / HTTP/1.1\r\nHost: a.test\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
    server.say(OK).hear(GOT % b"2").say(OK)
    lab.client << OK + OK
    lab.client.end().closed()
    server.hear_end()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        b"220 smtp.test ESMTP\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000,
        b"HTTP/1.1 200 OK\r\nX: y\r\n",
        b"",
    ],
)
def test_no_valid_response_is_502_and_the_client_goes_on(lab, answer):
    lab.client >> GET % b""
    server = lab.server().hear(GOT % b"").say(answer).end()
    lab.client << refusal(502)
    server.hear_end()
    lab.client >> GET % b"2"
    server = lab.server().hear(GOT % b"2").say(OK)
    lab.client << OK
    lab.client.end().closed()
    server.hear_end()


def test_a_server_that_resets_before_it_answers_is_502(lab):
    lab.client >> POST % b"Content-Length: 0"
    lab.server().hear(POSTED % b"Content-Length: 0").reset()
    lab.client << refusal(502)
    lab.client.end().closed()


@pytest.mark.parametrize("framing", [b"Content-Length: 9", b"Transfer-Encoding: chunked"])
def test_a_response_that_breaks_off_is_not_completed(lab, framing):
    lab.client >> GET % b""
    server = lab.server().hear(GOT % b"").say(b"HTTP/1.1 200 OK\r\n%s\r\n\r\n4\r\nhalf" % framing).end()
    lab.client << b"HTTP/1.1 200 OK\r\n%s\r\n\r\n4\r\nhalf" % framing
    lab.client.closed()
    server.hear_end()


def test_a_response_until_the_end_closes_the_client_in_order(lab):
    lab.client >> GET % b"1" + GET % b"2"
    server = lab.server().hear(GOT % b"1").say(b"HTTP/1.0 200 OK\r\n\r\nall").end()
    lab.client << b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall"
    lab.client.ended().end().closed()
    server.hear_end()
    assert lab.upstreams.targets() == ["a.test:80"]


def test_a_reset_inside_a_response_until_the_end_is_a_reset_for_the_client(lab):
    lab.client >> GET % b""
    server = lab.server().hear(GOT % b"").say(b"HTTP/1.1 200 OK\r\n\r\nhalf")
    lab.client << b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf"
    server.reset()
    lab.client.closed()
    assert lab.client._theirs.aborted


def test_a_kept_connection_that_ends_idle_is_replaced(lab):
    lab.client >> GET % b"1"
    server = lab.server().hear(GOT % b"1").say(OK)
    lab.client << OK
    server.end().hear_end()
    lab.client >> GET % b"2"
    server = lab.server().hear(GOT % b"2").say(OK)
    lab.client << OK
    lab.client.end().closed()
    server.hear_end()


@pytest.mark.parametrize("how", ["end", "reset"])
def test_a_request_that_met_a_dying_connection_is_sent_again_once(lab, how):
    lab.client >> GET % b"1"
    server = lab.server().hear(GOT % b"1").say(OK)
    lab.client << OK
    lab.client >> GET % b"2"
    getattr(server.hear(GOT % b"2"), how)()
    again = lab.server().hear(GOT % b"2")
    again.end()
    lab.client << refusal(502)
    lab.client.end().closed()
    assert len(lab.upstreams.sessions) == 2
    for each in (server, again):
        each.stream.close()


def test_a_request_with_effects_is_not_sent_again(lab):
    lab.client >> GET % b"1"
    server = lab.server().hear(GOT % b"1").say(OK)
    lab.client << OK
    lab.client >> POST % b"Content-Length: 0"
    server.hear(POSTED % b"Content-Length: 0").end()
    lab.client << refusal(502)
    lab.client.end().closed()
    assert len(lab.upstreams.sessions) == 1
    server.hear_end()


def test_a_request_that_was_answered_in_part_is_not_sent_again(lab):
    lab.client >> GET % b"1"
    server = lab.server().hear(GOT % b"1").say(OK)
    lab.client << OK
    lab.client >> GET % b"2"
    server.hear(GOT % b"2").say(b"HTTP/1.1 100 C").end()
    lab.client << refusal(502)
    lab.client.end().closed()
    assert len(lab.upstreams.sessions) == 1
    server.hear_end()


def test_bytes_after_a_response_never_reach_the_client(lab):
    """Response splitting: what a server says unasked is not the answer to the next request."""
    lab.client >> GET % b"1" + GET % b"2"
    server = lab.server().hear(GOT % b"1").say(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    lab.client << OK
    server.hear_end()
    lab.server().hear(GOT % b"2").say(OK).stream.close_write()
    lab.client << OK
    lab.client.end().closed()


def test_what_a_server_says_between_requests_never_reaches_the_client(lab):
    lab.client >> GET % b"1"
    server = lab.server().hear(GOT % b"1").say(OK)
    lab.client << OK
    server.say(b"HTTP/1.1 408 Request Timeout\r\n\r\n").hear_end()
    lab.client >> GET % b"2"
    server = lab.server().hear(GOT % b"2").say(OK)
    lab.client << OK
    lab.client.end().closed()
    server.hear_end()


def test_a_server_that_does_not_keep_is_not_used_again(lab):
    lab.client >> GET % b"1" + GET % b"2"
    server = lab.server().hear(GOT % b"1")
    server.say(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok").hear_end()
    lab.client << OK
    server = lab.server().hear(GOT % b"2").say(OK)
    lab.client << OK
    lab.client.end().closed()
    server.hear_end()


def test_a_client_that_does_not_keep_is_closed(lab):
    lab.client >> b"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nProxy-Connection: close\r\n\r\n"
    server = lab.server().hear(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").say(OK)
    lab.client << b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
    lab.client.ended().end().closed()
    server.hear_end()


def test_an_http_1_0_client_gets_no_chunks_and_no_interim_response(any_lab):
    lab = any_lab
    lab.client >> b"GET http://a.test/ HTTP/1.0\r\nExpect: 100-continue\r\n\r\n"
    server = lab.server().hear(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
    server.say(
        b"HTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nSum: 1\r\n\r\n"
    )
    lab.client << b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc"
    lab.client.ended().end().closed()
    server.hear_end()


@pytest.mark.parametrize(
    "response", [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n"]
)
def test_responses_without_a_body_keep_their_length(lab, response):
    lab.client >> b"HEAD http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n" + GET % b"2"
    server = lab.server().hear(b"HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n").say(response)
    server.hear(GOT % b"2").say(OK)
    lab.client << response + OK
    lab.client.end().closed()
    server.hear_end()


def test_a_bad_next_request_is_400_after_the_response(lab):
    lab.client >> GET % b"1" + b"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n"
    server = lab.server().hear(GOT % b"1").say(OK)
    lab.client << OK
    lab.client << refusal(400)
    lab.client.ended().end().closed(ProtocolError)
    server.hear_end()


def test_an_idle_client_is_let_go_though_its_server_stays(lab, monkeypatch):
    monkeypatch.setattr(forward, "HTTP_KEEP_ALIVE", 0.1)
    lab.client >> GET % b"1"
    server = lab.server().hear(GOT % b"1").say(OK)
    lab.client << OK
    server.hear_end()
    lab.client.ended().end().closed()
    [outcome] = lab.upstreams.outcomes
    assert outcome.ended == "ok"


def test_a_client_that_ends_while_it_waits_is_answered_and_its_server_knows(lab):
    lab.client >> GET % b"1"
    lab.client.end()
    server = lab.server().hear(GOT % b"1")
    assert server.stream.recv() == b""
    server.say(OK)
    lab.client << OK
    lab.client.closed()
    server.stream.close()


def test_a_client_that_ends_inside_its_body_ends_the_request(lab):
    lab.client >> POST % b"Content-Length: 9" + b"half"
    server = lab.server().hear(POSTED % b"Content-Length: 9" + b"half")
    lab.client.end()
    lab.client << refusal(400)
    lab.client.closed(ProtocolError)
    server.hear_end()


def test_a_client_that_breaks_off_ends_its_server(lab):
    lab.client >> GET % b"1"
    server = lab.server().hear(GOT % b"1").say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
    lab.client << b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
    lab.client.abort()
    server.say(b"a").hear_end()
    wait_until(lambda: lab.upstreams.outcomes, "the relay goes on")


@pytest.mark.parametrize("when", ["idle", "waiting", "in a body", "in a response", "tunnel"])
def test_a_session_that_is_ended_from_outside_takes_its_client_along(lab, when):
    [serving] = lab.client._group._children
    upgrade = b"Connection: Upgrade\r\nUpgrade: x\r\n"
    lab.client >> (POST % b"Content-Length: 9" + b"half" if when == "in a body" else GET[:-2] % b"" + upgrade + b"\r\n")
    server = lab.server()
    if when == "in a response":
        server.say(OK[:-1])
        lab.client << OK[:-1]
    elif when == "tunnel":
        server.say(b"HTTP/1.1 101 x\r\nUpgrade: x\r\n\r\n")
        lab.client << b"HTTP/1.1 101 x\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"
    elif when == "idle":
        server.say(OK)
        lab.client << OK
    call_soon(serving.throw, StreamClosed("ended here", reason="drained"))
    lab.client.closed()
    server.stream.close()
    [outcome] = lab.upstreams.outcomes
    assert (outcome.ended, outcome.culprit) == ("drained", "")


def test_a_slow_client_stops_its_server():
    """Nothing is buffered beyond one read: the response waits in the pipe until the client reads."""
    lab = Lab()
    lab.client >> GET % b""
    server = lab.server().hear(GOT % b"")
    server.say(b"HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n")
    lab.client << b"HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n"
    total = 4_000_000
    sender = lab.client._group.spawn(server.say, bytes(total))
    wait_until(lambda: len(lab.client._ours.unread) == 1 << 20, "the client's pipe is not full")
    assert not sender.ready()
    lab.client << bytes(total)
    lab.client.end().closed()
    server.hear_end()


SAID = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 204 No\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"Connection: Content-Length\r\n",
        b"\r\n",
        b"\n",
        b"3\r\nabc\r\n",
        b"0\r\n\r\n",
        b"0\r\nA: b\r\n\r\n",
        b"abc",
        b"a: b\r\n",
    ]
)


@settings(max_examples=300)
@given(st.lists(SAID, max_size=8), st.booleans())
def test_whatever_a_server_says_the_client_hears_http(said, head):
    """By h11: one response, whole or visibly broken off, and nothing after it."""
    method = b"HEAD" if head else b"GET"
    lab = Lab()
    lab.client >> (GET % b"").replace(b"GET", method)
    lab.client.end()
    server = lab.server().hear((GOT % b"").replace(b"GET", method))
    server.say(b"".join(said)).end()
    assert lab.client.error() is None
    heard = lab.client._ours.unread
    lab.client.stop()
    server.stream.close()
    whole, rest = read_response(method.decode(), heard)
    assert not rest, f"{said} became {heard!r}"
    if whole and b"HTTP/1.1 502" not in heard:
        assert read_response(method.decode(), b"".join(said))[0], f"{said} is not whole, {heard!r} is"


def read_response(method, data):
    """Whether it is whole, and what follows it."""
    reader = h11.Connection(h11.CLIENT)
    reader.send(h11.Request(method=method, target="/", headers=[("Host", "a.test")]))
    reader.send(h11.EndOfMessage())
    reader.receive_data(data)
    reader.receive_data(b"")
    try:
        while True:
            event = reader.next_event()
            if isinstance(event, h11.EndOfMessage):
                return True, reader.trailing_data[0]
            if event is h11.NEED_DATA or event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                return False, b""
    except h11.RemoteProtocolError:
        return False, b""
