"""gproxy.dns.servers.https: HTTP/2 and HTTP/1.1 within TLS, and servers that answer something else."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import NamedTuple

import pytest

from gproxy.base.errors import DialError, ProtocolError, StreamClosed
from gproxy.dns import SERVERS
from gproxy.dns.servers import https
from gproxy.layers.tls.client import TlsClient
from gproxy.net.buffered import Buffered
from gproxy.net.link import Link
from gproxy.rt.deadline import deadline
from gproxy.rt.group import Group
from gproxy.rt.sync import Event
from gproxy.schema.model import read
from gproxy.wire.dns.message import parse
from gproxy.wire.http1.body import request_body
from gproxy.wire.http1.head import MAX_HEAD, decode_request
from gproxy.wire.http2 import link as http2
from gproxy.wire.http2.head import Response
from gproxy.wire.http2.link import Http2
from tests.dns.servers.upstream import ask, expected, reply, wiring
from tests.layers.tls.lab import NAME, server, tcp_pair
from tests.support.playbook import new_session
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")

ROW = SERVERS.row("https")
TYPE = (b"content-type", b"application/dns-message")


class Asked(NamedTuple):
    """A request, however it came."""

    method: bytes
    path: bytes
    authority: bytes
    fields: dict[bytes, bytes]
    message: bytes


class Answer(NamedTuple):
    """What is answered: a status, fields, and a body; then the server may hang up."""

    body: bytes
    status: int = 200
    fields: tuple[tuple[bytes, bytes], ...] = (TYPE,)
    hang_up: bool = False


def good(asked):
    return Answer(reply(asked.message))


class Web:
    """A server at the other end of all connections, which answers as `answers` says."""

    def __init__(self, answers: Callable[[Asked], Answer | None], alpn: str = "h2", **tree) -> None:
        self.answers = answers
        self.asked: list[Asked] = []
        self.connections = 0
        self.links: list[Link] = []
        self.group = Group("web")
        self.layer = server(alpn=(alpn,)) if alpn else server()
        tls = {"insecure": True, "server_name": NAME}
        problems = []
        options = read(ROW.options, {"type": "https", "server": NAME, "tls": tls, **tree}, (), problems)
        assert not problems, problems
        self.server = ROW.build(options, wiring(TlsClient(options.tls, NAME).connecting(self.plain)))

    def plain(self, session):
        self.connections += 1
        near, far = tcp_pair()
        self.group.spawn(self.serve, far)
        return near

    def serve(self, far):
        try:
            session = new_session()
            self.layer.accepting(self.one)(far, session)
        except (StreamClosed, ProtocolError):
            return
        finally:
            far.close()

    def one(self, stream, session):
        if session.alpn == "h2":
            link = Link(stream, Http2(client=False), self.request)
            self.links.append(link)
            link.run()
        else:
            self.requests(Buffered(stream))

    def request(self, stream, head):
        try:
            body = b""
            while piece := stream.recv():
                body += piece
            answer = self.answer(Asked(head.method, head.path, head.authority, dict(head.fields), body))
            if answer is None:
                stream.abort()
                return
            if answer.hang_up:
                self.links[-1].close()
                return
            stream.answer(Response(answer.status, answer.fields))
            stream.sendall(answer.body)
            stream.close_write()
        except StreamClosed:
            return

    def requests(self, client):
        while True:
            head = client.decode(decode_request, MAX_HEAD)
            fields = {name: value for name, _, value in head.fields}
            framing, body = request_body(head), b""
            while not framing.complete:
                piece, _ = framing.feed(client.recv())
                body += piece
            answer = self.answer(Asked(head.method, head.target, fields[b"host"], fields, body))
            if answer is None:
                return
            if not any(name in (b"content-length", b"transfer-encoding") for name, _ in answer.fields):
                answer = answer._replace(fields=(*answer.fields, (b"content-length", b"%d" % len(answer.body))))
            head = b"".join(b"%b: %b\r\n" % each for each in answer.fields)
            client.sendall(b"HTTP/1.1 %d x\r\n%b\r\n%b" % (answer.status, head, answer.body))
            if answer.hang_up:
                client.close()
                return

    def answer(self, asked):
        if asked.method == b"GET":
            text = asked.path.partition(b"?dns=")[2]
            assert b"=" not in text
            asked = asked._replace(message=base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4)))
        self.asked.append(asked)
        return self.answers(asked)

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.server.close()
        self.group.kill()

    def check(self, name="site.test"):
        one = ask(name)
        assert parse(self.server.exchange(one)) == expected(one)


BOTH = pytest.mark.parametrize("alpn", ["h2", "http/1.1", ""])


@BOTH
def test_post(alpn):
    with Web(good, alpn) as web:
        web.check("a.test")
        web.check("b.test")
        assert web.connections == 1, "it is used again"
        asked = web.asked[1]
        assert (asked.method, asked.path, asked.authority) == (b"POST", b"/dns-query", NAME.encode())
        assert asked.message == ask("b.test").message
        assert asked.fields[b"content-type"] == asked.fields[b"accept"] == b"application/dns-message"
        assert asked.fields[b"content-length"] == b"%d" % len(asked.message)
        assert web.server.cacheable
        assert not web.server.knows("a.test")


@BOTH
def test_get(alpn):
    with Web(good, alpn, method="GET", path="x") as web:
        web.check()
        (asked,) = web.asked
        assert asked.method == b"GET"
        assert asked.path.startswith(b"/x?dns=AAAB")
        assert b"content-type" not in asked.fields


@BOTH
def test_fields_and_host(alpn):
    headers = {"X-Key": "secret", "Host": "front.test", "X-Two": ["a", "b"]}
    with Web(good, alpn, headers=headers, path="/q") as web:
        web.check()
        (asked,) = web.asked
        assert (asked.path, asked.authority) == (b"/q", b"front.test")
        assert asked.fields[b"x-key"] == b"secret"
        assert asked.fields[b"x-two"] == b"b"


@pytest.mark.parametrize(
    ("tree", "authority"),
    [
        ({"server": "dns.test"}, b"dns.test"),
        ({"server": "dns.test", "server_port": 8443}, b"dns.test:8443"),
        ({"server": "192.0.2.1", "tls": {"server_name": "dns.test"}}, b"dns.test"),
        ({"server": "2001:db8::1"}, b"[2001:db8::1]"),
        ({"server": "[2001:db8::1]", "server_port": 1}, b"[2001:db8::1]:1"),
    ],
)
def test_who_is_asked(tree, authority):
    problems = []
    options = read(ROW.options, {"type": "https", **tree}, (), problems)
    assert not problems
    assert options.authority() == authority


@pytest.mark.parametrize(
    "tree",
    [
        {"path": "/a b"},
        {"path": "/a?b"},
        {"path": "/a\r\nx: y"},
        {"method": "PUT"},
        {"headers": {"content-length": "1"}},
        {"headers": {"a\r\n": "1"}},
        {"headers": {"a": "1\r\nb: c"}},
        {"headers": {"host": ["a", "b"]}},
    ],
)
def test_what_is_wrong(tree):
    problems = []
    assert read(ROW.options, {"type": "https", "server": "dns.test", **tree}, (), problems) is None
    assert len(problems) == 1


@BOTH
@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda a: Answer(b"no", 404), "HTTP status 404"),
        (lambda a: Answer(b"", 302, ((b"location", b"/x"), TYPE)), "HTTP status 302"),
        (lambda a: Answer(reply(a.message), fields=((b"content-type", b"text/html"),)), "an answer of the type 'text/"),
        (lambda a: Answer(reply(a.message), fields=()), "an answer of the type ''"),
        (lambda a: Answer(b"x", fields=(TYPE, (b"content-encoding", b"gzip"))), "an answer that is compressed"),
        (lambda a: Answer(b""), "an answer that is cut off"),
        (lambda a: Answer(b"x" * 11), "an answer that is cut off"),
        (lambda a: Answer(b"x" * 70000), "an answer that is too long"),
        (lambda a: Answer(reply(a.message).replace(b"site", b"evil")), "an answer to another question"),
        (lambda a: Answer(reply(a.message, truncated=True)), "an answer that is cut off"),
        (lambda a: None, "DNS server up: "),
    ],
)
def test_answers_that_are_none(alpn, answer, why):
    with Web(answer, alpn) as web:
        with pytest.raises(DialError, match=why) as caught:
            web.server.exchange(ask("site.test"))
        assert caught.value.reason == "dns"
        web.answers = good
        web.check()


@BOTH
def test_parameters_of_the_type_say_nothing(alpn):
    fields = ((b"content-type", b"Application/DNS-message; charset=x"),)
    with Web(lambda asked: Answer(reply(asked.message), fields=fields), alpn) as web:
        web.check()


@BOTH
@pytest.mark.parametrize(("age", "left"), [(b"10", 50), (b"600", 0), (b"x", 60), (b"9" * 30, 60)])
def test_an_answer_that_was_kept(alpn, age, left):
    with Web(lambda asked: Answer(reply(asked.message), fields=(TYPE, (b"age", age))), alpn) as web:
        assert [each.ttl for each in parse(web.server.exchange(ask("site.test"))).answer] == [left]


def test_chunks():
    def answers(asked):
        body = reply(asked.message)
        chunks = b"%x\r\n%b\r\n3\r\n%b\r\n0\r\n\r\n" % (len(body) - 3, body[:-3], body[-3:])
        return Answer(chunks, fields=(TYPE, (b"transfer-encoding", b"chunked")))

    with Web(answers, "http/1.1") as web:
        web.check()
        web.check()
        assert web.connections == 1


def test_a_connection_that_lasts_no_longer():
    def answers(asked):
        return Answer(reply(asked.message), fields=(TYPE, (b"connection", b"close")))

    with Web(answers, "http/1.1") as web:
        web.check()
        web.check()
        assert web.connections == 2


@BOTH
def test_one_that_was_good_and_breaks_is_replaced_once(alpn):
    def answers(asked):
        return (
            None if len(web.asked) == 2 and alpn != "h2" else Answer(reply(asked.message), hang_up=len(web.asked) == 2)
        )

    with Web(answers, alpn) as web:
        web.check()
        web.check()
        web.check()
        assert web.connections == 2
        assert len(web.asked) == 4


def test_a_fresh_link_that_breaks_is_a_failure():
    with Web(lambda asked: Answer(b"", hang_up=True)) as web:
        with pytest.raises(DialError, match="DNS server up: "):
            web.server.exchange(ask("site.test"))
        assert web.connections == 1


@BOTH
def test_many_at_once(alpn, monkeypatch):
    monkeypatch.setattr(https, "MOST_PLAIN", 4)
    with Web(good, alpn) as web:
        with Group("asks") as group:
            for number in range(60):
                group.spawn(web.check, f"n{number}.test")
            assert group.join(10)
        assert len(web.asked) == 60
        assert web.connections == (1 if alpn == "h2" else 4)


def test_more_questions_than_the_links_take(monkeypatch):
    monkeypatch.setattr(https, "MOST_LINKS", 1)
    monkeypatch.setattr(http2, "MAX_STREAMS", 3)
    with Web(good) as web:
        web.check()
        with Group("asks") as group:
            for number in range(60):
                group.spawn(web.check, f"n{number}.test")
            assert group.join(10)
        assert len(web.asked) == 61
        assert web.connections == 1


def test_no_more_questions_than_that(monkeypatch):
    monkeypatch.setattr(https, "MOST_WAITING", 2)
    gate = Event()

    def late(asked):
        gate.wait()
        return good(asked)

    with Web(late) as web, Group("asks") as group:
        for _ in range(2):
            group.spawn(web.check)
        wait_until(lambda: len(web.asked) == 2, "not asked")
        with pytest.raises(DialError, match="too many questions are under way"):
            web.server.exchange(ask("site.test"))
        gate.set()
        assert group.join(30)


@BOTH
def test_questions_that_are_given_up(alpn, monkeypatch):
    monkeypatch.setattr(https, "MOST_PLAIN", 2)
    gate = Event()

    def late(asked):
        gate.wait()
        return good(asked)

    with Web(late, alpn) as web:
        for _ in range(4):
            with pytest.raises(TimeoutError), deadline(0.05, TimeoutError()):
                web.server.exchange(ask("late.test"))
        gate.set()
        web.check()


def test_a_server_that_stops_speaking_http2():
    with Web(good) as web:
        web.check()
        web.links[0].close()
        web.layer = server(alpn=("http/1.1",))
        web.check()
        web.check()
        assert web.connections == 2


def test_what_is_idle_is_closed(monkeypatch):
    monkeypatch.setattr(https, "IDLE", 0.02)
    monkeypatch.setattr(https, "_SWEEP", 0.01)
    for alpn in ("h2", "http/1.1"):
        with Web(good, alpn) as web:
            web.check()
            wait_until(lambda web=web: web.server._timer is None, "nothing is ever closed")
            web.check()
            assert web.connections == 2


@BOTH
def test_closing_ends_what_is_asked(alpn):
    with Web(lambda asked: web.server.close() or good(asked), alpn) as web:
        with pytest.raises(DialError):
            web.server.exchange(ask("site.test"))
        with pytest.raises(DialError):
            web.server.exchange(ask("site.test"))
