"""DNS over HTTPS: h2 is the client of HTTP/2, and scripts are those of HTTP/1.1."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any

import pytest
from h2.events import StreamReset

from gproxy.base.errors import ProtocolError
from gproxy.base.iface import Accept, Stream
from gproxy.base.session import Session
from gproxy.protocol.dns import https
from gproxy.protocol.dns.https import Https
from gproxy.rt.group import Group
from tests.layers.transport.visitor import Visit
from tests.support.names import FakeNames, addresses, query_for
from tests.support.playbook import Talk, new_session, play
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")

KIND = "application/dns-message"
QUERY = query_for("example.org", number=0)
TEXT = base64.urlsafe_b64encode(QUERY).rstrip(b"=").decode()


class Site:
    """A server as a layer, so that the visitor of links can come."""

    def __init__(self, *, allowed: bool = True, path: str = "/dns-query") -> None:
        self.names = FakeNames(33)
        self.allowed = allowed
        self.sessions: list[Session] = []
        self.https = Https(self.names.begin, path)

    def accept(self, stream: Stream, session: Session) -> None:
        self.sessions.append(session)
        self.https.serve(stream, session, allowed=self.allowed)

    def accepting(self, then: Accept) -> Accept:
        return self.accept


def nobody(stream: Stream, session: Session) -> None:
    raise AssertionError("there is nobody behind it")


@pytest.fixture
def group() -> Iterator[Group]:
    with Group("test") as group:
        yield group


# -- HTTP/2 -----------------------------------------------------------------------------------------------------------


def test_a_get_and_a_post_on_one_link(group: Group) -> None:
    site = Site()
    visit = Visit(site, nobody, group)
    visit.ask(1, f"/dns-query?dns={TEXT}", ends=True, accept=KIND)
    visit.ask(3, "/dns-query", method="POST", content_type=KIND)
    visit.say(3, QUERY[:5])
    visit.say(3, QUERY[5:], ends=True)
    for number in (1, 3):
        fields, body, _ = visit.answer(number)
        assert (fields[":status"], fields["content-type"], fields["cache-control"]) == ("200", KIND, "max-age=33")
        assert fields["content-length"] == str(len(body))
        assert addresses(body)
    visit.leave()


def test_answers_come_as_they_are_found_and_a_link_without_questions_keeps_nobody(group: Group) -> None:
    site = Site()
    visit = Visit(site, nobody, group)
    slow = base64.urlsafe_b64encode(query_for("slow.example.org")).rstrip(b"=").decode()
    visit.ask(1, f"/dns-query?dns={slow}", ends=True)
    visit.ask(3, f"/dns-query?dns={TEXT}", ends=True)
    assert visit.answer(3)[0][":status"] == "200"
    assert not site.sessions[0].carries
    site.names.go.set()
    assert visit.answer(1)[0][":status"] == "200"
    wait_until(lambda: site.sessions[0].carries, "it is busy for ever")
    visit.leave()


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("/", {}, "404"),
        (f"/dns-query?dns={TEXT}", {"method": "DELETE"}, "405"),
        ("/dns-query?dns=A", {}, "400"),
        ("/dns-query", {"method": "POST", "content_type": "text/plain"}, "415"),
    ],
)
def test_what_can_not_be_answered_gets_a_status(path: str, fields: dict[str, str], status: str, group: Group) -> None:
    visit = Visit(Site(), nobody, group)
    visit.ask(1, path, ends=True, **fields)
    said, body, _ = visit.answer(1)
    assert (said[":status"], body) == (status, b"")
    assert ("allow" in said) == (status == "405")
    visit.leave()


@pytest.mark.parametrize(("body", "status"), [(b"", "400"), (b"short", "400"), (bytes(65536), "413")])
def test_bodies_that_are_no_query(body: bytes, status: str, group: Group) -> None:
    visit = Visit(Site(), nobody, group)
    visit.ask(1, "/dns-query", method="POST", content_type=KIND)
    visit.until(lambda: visit.h2.local_flow_control_window(1) > len(body))
    for at in range(0, len(body), 16384):
        visit.say(1, body[at : at + 16384])
    visit.say(1, b"", ends=True)
    assert visit.answer(1)[0][":status"] == status
    visit.leave()


def test_who_is_not_allowed_is_told_so(group: Group) -> None:
    visit = Visit(Site(allowed=False), nobody, group)
    visit.ask(1, f"/dns-query?dns={TEXT}", ends=True)
    assert visit.answer(1)[0][":status"] == "403"
    visit.leave()


def test_silence_is_a_reset(group: Group) -> None:
    visit = Visit(Site(), nobody, group)
    silent = base64.urlsafe_b64encode(query_for("silent.example.org")).rstrip(b"=").decode()
    visit.ask(1, f"/dns-query?dns={silent}", ends=True)
    visit.until(lambda: visit.of(StreamReset, 1))
    visit.ask(3, f"/dns-query?dns={TEXT}", ends=True)
    assert visit.answer(3)[0][":status"] == "200"
    visit.leave()


# -- HTTP/1.1 ---------------------------------------------------------------------------------------------------------

GET = f"GET /dns-query?dns={TEXT} HTTP/1.1\r\nHost: a.test\r\n\r\n".encode()
POST = f"POST /dns-query HTTP/1.1\r\nHost: a.test\r\nContent-Type: {KIND}\r\n".encode()
ANSWER = FakeNames(33).exchange(QUERY, new_session())
OK = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/dns-message\r\nContent-Length: %d\r\nCache-Control: max-age=33\r\n"
    % len(ANSWER)
)
KEPT = OK + b"\r\n" + ANSWER


def talk_to(site: Site, **options: Any) -> Talk[None]:
    return play(site.accept, new_session(), **options)


@pytest.mark.parametrize("chunk", [0, 1, 7])
def test_one_after_the_other_on_a_connection(chunk: int) -> None:
    sized = POST + b"Content-Length: %d\r\n\r\n" % len(QUERY) + QUERY
    chunked = POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\n" + QUERY[:5] + b"\r\n"
    chunked += b"%x\r\n" % (len(QUERY) - 5) + QUERY[5:] + b"\r\n0\r\n\r\n"
    talk = talk_to(Site(), chunk=chunk) >> GET << KEPT
    (talk >> sized + chunked + GET << KEPT * 3).end().closed()


def test_the_last_one_is_said_to_be_it() -> None:
    last = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    (talk_to(Site()) >> last << OK + b"Connection: close\r\n\r\n" + ANSWER).end().closed()
    (talk_to(Site()) >> GET.replace(b"1.1\r", b"1.0\r") << OK + b"Connection: close\r\n\r\n" + ANSWER).end().closed()


def test_a_client_that_waits_for_leave_gets_it() -> None:
    talk = talk_to(Site()) >> POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(QUERY)
    (talk << b"HTTP/1.1 100 Continue\r\n\r\n" >> QUERY << KEPT).end().closed()


def refused(status: int, rest: bytes = rb".*") -> re.Pattern[bytes]:
    return re.compile(rb"HTTP/1\.1 %d [^\r]*\r\nDate: [^\r]*\r\n%s\r\n\r\n" % (status, rest), re.DOTALL)


def test_a_refusal_does_not_end_the_connection() -> None:
    site = Site()
    talk = talk_to(site) >> GET.replace(b"/dns-query", b"/other") << refused(404, rb"Content-Length: 0")
    talk = talk >> GET.replace(b"GET", b"PUT") << refused(405, rb"Allow: GET, POST\r\nContent-Length: 0")
    (talk >> GET << KEPT).end().closed()


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"garbage\r\n\r\n", 400),
        (GET.replace(b"Host: a.test\r\n", b""), 400),
        (POST + b"Content-Length: 65536\r\n\r\n" + bytes(65536), 413),
        (POST + b"Transfer-Encoding: gzip\r\n\r\n", 501),
        (b"GET /" + b"x" * 17000 + b" HTTP/1.1\r\n\r\n", 414),
        (GET.replace(b"HTTP/1.1", b"HTTP/3.0"), 505),
    ],
)
def test_what_is_no_request_ends_it(said: bytes, status: int) -> None:
    talk = talk_to(Site()) >> said << refused(status)
    talk.end().closed(ProtocolError)


def test_a_client_that_leaves_before_it_asks_or_inside_a_request() -> None:
    talk_to(Site()).end().closed(ProtocolError)
    (talk_to(Site()) >> GET[:30]).end().closed(ProtocolError)
    (talk_to(Site()) >> GET << KEPT).end().closed()
    (talk_to(Site()) >> GET << KEPT >> GET[:30]).end().closed(ProtocolError)
    (talk_to(Site()) >> POST + b"Content-Length: 40\r\n\r\nhalf").end().closed(ProtocolError)


def test_silence_ends_the_connection() -> None:
    silent = base64.urlsafe_b64encode(query_for("silent.example.org")).rstrip(b"=")
    talk = talk_to(Site()) >> GET.replace(TEXT.encode(), silent)
    talk.ended()
    assert talk.error() is not None


def test_another_path_is_this_ones() -> None:
    (talk_to(Site(path="/names")) >> GET.replace(b"/dns-query", b"/names") << KEPT).end().closed()


def test_an_answer_may_take_longer_than_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(https, "HANDSHAKE_TIMEOUT", 0.05)
    site = Site()
    slow = base64.urlsafe_b64encode(query_for("slow.example.org")).rstrip(b"=")
    talk = talk_to(site) >> GET.replace(TEXT.encode(), slow)
    assert not talk._over.wait(0.2)
    site.names.go.set()
    (talk << re.compile(rb"HTTP/1\.1 200 OK\r\n.*max-age=33\r\n\r\n.{30,}", re.DOTALL)).end().closed()


def test_a_request_that_does_not_come_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(https, "HANDSHAKE_TIMEOUT", 0.05)
    talk = talk_to(Site()) >> GET[:20]
    assert isinstance(talk.error(), ProtocolError)
