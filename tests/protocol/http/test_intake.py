"""gproxy.protocol.http.intake: how a request is judged. What is refused, and how, is in test_inbound."""

from __future__ import annotations

import pytest

from gproxy.net.buffered import Buffered
from gproxy.protocol.http.intake import Intake
from gproxy.schema.users import Users
from tests.support.pipe import pipe

pytestmark = pytest.mark.usefixtures("no_leaks")

LINES = b"Host: a.test\r\n"


def taken(raw):
    near, far = pipe()
    far.sendall(raw)
    return Intake(Buffered(near), Users(())).first()


def asking(method=b"GET", target=b"http://a.test/", lines=LINES, minor=1):
    return taken(b"%s %s HTTP/1.%d\r\n%s\r\n" % (method, target, minor, lines))


def test_connect():
    request = asking(b"CONNECT", b"a.test:443")
    assert str(request.target) == "a.test:443"
    assert request.forward is None
    assert not request.keep


@pytest.mark.parametrize(
    ("method", "lines", "replayable"),
    [
        (b"GET", LINES, True),
        (b"HEAD", LINES, True),
        (b"DELETE", LINES, True),
        (b"POST", LINES, False),
        (b"PATCH", LINES, False),
        (b"LOCK", LINES, False),
        (b"PUT", LINES + b"Content-Length: 3\r\n", False),
        (b"GET", LINES + b"Transfer-Encoding: chunked\r\n", False),
    ],
)
def test_what_may_be_sent_again(method, lines, replayable):
    assert asking(method, lines=lines).replayable is replayable


def test_the_same_way():
    first = asking()
    assert asking(target=b"http://A.test:80/other").same_way(first)
    assert not asking(target=b"http://a.test:81/").same_way(first)
    assert not asking(b"CONNECT", b"a.test:80").same_way(first)
    other = asking()
    other.user = "somebody"
    assert not other.same_way(first)


def test_the_next_request_or_the_end():
    near, far = pipe()
    intake = Intake(Buffered(near), Users(()))
    far.sendall(b"GET http://a.test/ HTTP/1.1\r\n" + LINES + b"\r\n")
    assert intake.following().head.method == b"GET"
    far.close_write()
    assert intake.following() is None


def test_a_reset_between_requests_is_an_ordinary_end():
    near, far = pipe()
    far.abort()
    assert Intake(Buffered(near), Users(())).following() is None
