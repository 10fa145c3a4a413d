"""gproxy.protocol.trojan.inbound."""

from __future__ import annotations

import os
from ipaddress import IPv4Address

import pytest

from gproxy.base.address import Address
from gproxy.base.clock import now
from gproxy.base.errors import AuthError, DialError, ProtocolError, StreamClosed, Unsupported
from gproxy.net.link import Link
from gproxy.protocol.trojan import inbound as module
from gproxy.wire.cursor import Cursor
from gproxy.wire.proxyproto import decode_proxy_header
from gproxy.wire.smux import Smux
from tests.protocol.trojan.lab import NAME, NAME_BYTES, V4, V4_BYTES, accepting, key, packet, request
from tests.support.dispatch import RecordingDispatcher
from tests.support.pipe import pipe
from tests.support.playbook import CLIENT, Watched, new_session, play
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")

PATIENCE = 0.3
SITE = {"server": "127.0.0.1", "server_port": 8080}
OTHER = {"server": "site.example", "server_port": 81}
TLS = {"enabled": True, "certificate": ["c"], "key": ["k"], "alpn": ["h2", "http/1.1", "x"]}
LOCAL = Address(IPv4Address("198.51.100.9"), 443)

NO_TROJAN = {
    "http": b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n",
    "http2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "one byte": b"\0",
    "upper case": key().upper(),
    "a short line": b"abc\r\n",
    "no CRLF": key()[:56] + b"xx",
    "half a CRLF": key()[:57] + b"\r",
    "a wrong password": key("wrong") + request() + b"hello",
    "a wrong password alone": key("wrong"),
    "garbage": os.urandom(5000),
}


@pytest.fixture(autouse=True)
def short_patience(monkeypatch):
    monkeypatch.setattr(module, "HANDSHAKE_TIMEOUT", PATIENCE)


@pytest.fixture
def users():
    return RecordingDispatcher(echo=False)


@pytest.fixture
def site():
    return RecordingDispatcher(echo=False)


def through(talk):
    """The client has said all, and hears the end."""
    talk.end()
    talk.closed()


# -- users -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [0, 1])
@pytest.mark.parametrize(("target", "address"), [(V4, V4_BYTES), (NAME, NAME_BYTES)])
def test_a_stream(users, chunk, target, address):
    through(play(accepting(users), chunk=chunk) >> key("pw2") + request(address) + b"hello")
    assert (users.session.target, users.session.user, users.session.network) == (target, "two", "tcp")
    assert bytes(users.received) == b"hello"


def test_what_the_target_says_comes_first():
    through(play(accepting()) >> key() + request() + b"hello" << b"hello")


def test_a_user_without_a_name_has_no_account(users):
    through(play(accepting(users, users=[{"password": "pw1"}])) >> key() + request())
    assert users.session.user is None


def test_datagrams():
    users = RecordingDispatcher()
    talk = play(accepting(users)) >> key() + request(command=3) + packet(b"one") << packet(b"one")
    talk = talk >> packet(b"two", NAME_BYTES) << packet(b"two", NAME_BYTES)
    through(talk)
    assert users.datagrams == [(b"one", V4), (b"two", NAME)]
    assert (users.session.network, users.session.target, users.session.user) == ("udp", V4, "one")


@pytest.mark.parametrize("fallback", [{}, {"fallback": SITE}])
@pytest.mark.parametrize(
    ("words", "word"),
    [
        (request(command=2), "unsupported-command"),
        (request(b"\x02"), "unsupported-address"),
        (request(b"\x03\x03a b\x00\x50"), "protocol"),
        (request(V4_BYTES + b"\n"), "protocol"),
        (request(NAME_BYTES)[:10], "protocol-timeout"),
    ],
)
def test_a_user_that_goes_on_wrongly_is_told_nothing_and_not_handed_on(users, site, fallback, words, word):
    talk = play(accepting(users, site, **fallback)) >> key() + words
    assert talk.error().word == word
    talk.ended()
    assert not users.sessions
    assert not site.sessions


def test_a_user_that_leaves_inside_the_request(users, site):
    talk = play(accepting(users, site, fallback=SITE)) >> key() + b"\x01"
    talk.end()
    assert talk.error().word == "protocol-truncated"
    assert not site.sessions


def test_a_target_that_is_not_to_be_had_is_a_reset():
    near, far = pipe()
    far.sendall(key() + request())
    accepting(RecordingDispatcher(error=DialError(reason="refused")))(near, new_session())
    with pytest.raises(StreamClosed):
        while far.recv():
            pass


# -- links of trojan-go's own kind -------------------------------------------------------------------------------------


def linked(users):
    """A link to an inbound, and the conversation that it is."""
    talk = play(accepting(users)) >> key() + request(b"\x03\x08MUX_CONN\x00\x00", command=0x7F)
    link = Link(talk._ours, Smux(client=True))
    link.start()
    return talk, link


def test_a_link_of_streams_without_answers():
    users = RecordingDispatcher()
    talk, link = linked(users)
    first, second = link.open(), link.open()
    first.sendall(b"\x01" + V4_BYTES + b"hello")
    second.sendall(b"\x03" + NAME_BYTES + packet(b"ping"))
    assert first.recv() == b"hello"
    assert second.recv() == packet(b"ping")
    first.close()
    second.close()
    link.close()
    talk.result()
    assert [(each.target, each.network, each.user) for each in users.sessions] == [
        (V4, "tcp", "one"),
        (NAME, "udp", "one"),
    ]


def test_a_stream_of_a_link_that_asks_for_nothing_sensible(users):
    talk, link = linked(users)
    wrong, right = link.open(), link.open()
    wrong.sendall(b"\x7f" + V4_BYTES)
    assert wrong.recv() == b""
    right.sendall(b"\x01" + V4_BYTES + b"hello")
    wait_until(lambda: users.received == b"hello", lambda: users.received)
    link.close()
    talk.result()


# -- the others, with a web site ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [0, 1])
@pytest.mark.parametrize("what", NO_TROJAN)
def test_whoever_speaks_no_trojan_is_handed_on_with_every_byte(users, site, what, chunk):
    words = NO_TROJAN[what]
    began = now()
    talk = play(accepting(users, site, fallback=SITE), chunk=chunk) >> words
    wait_until(lambda: bytes(site.received) == words, "not handed on")
    assert now() - began < PATIENCE or chunk, "waited for more, which could not help"
    through(talk)
    assert not users.sessions
    session = site.session
    assert (str(session.target), session.rule, session.user) == ("127.0.0.1:8080", "fallback", None)
    assert bytes(site.received) == words


def test_the_site_is_heard():
    site = RecordingDispatcher()
    through(play(accepting(None, site, fallback=SITE)) >> b"GET / HTTP/1.1\r\n\r\n" << b"GET / HTTP/1.1\r\n\r\n")


@pytest.mark.parametrize("size", [1, 20, 56, 57])
def test_how_long_is_waited_tells_nothing_of_a_key(site, size):
    """What may become a key is waited for just as long, whether it is the beginning of a user's or of nobody's."""
    seconds = []
    for words in (key()[:size], key("wrong")[:size]):
        began = now()
        talk = play(accepting(None, site, fallback=SITE)) >> words
        wait_until(lambda: site.received, "not handed on")
        seconds.append(now() - began)
        assert bytes(site.received) == words
        site.received.clear()
        through(talk)
    assert all(PATIENCE <= each < PATIENCE + 1 for each in seconds), seconds


def test_a_client_that_leaves_inside_its_key(site):
    talk = play(accepting(None, site, fallback=SITE)) >> key()[:20]
    through(talk)
    assert bytes(site.received) == key()[:20]


def test_a_client_that_leaves_without_a_word_is_not_handed_on(site):
    talk = play(accepting(None, site, fallback=SITE))
    talk.end()
    assert talk.error().word == "protocol-empty"
    assert not site.sessions


def test_a_silent_client_is_handed_on_in_the_end(site):
    talk = play(accepting(None, site, fallback=SITE))
    wait_until(lambda: site.sessions, "not handed on")
    through(talk)


def test_a_site_that_is_not_there_is_a_reset():
    near, far = pipe()
    far.sendall(NO_TROJAN["http"])
    accepting(None, RecordingDispatcher(error=DialError(reason="refused")), fallback=SITE)(near, new_session())
    with pytest.raises(StreamClosed):
        while far.recv():
            pass


@pytest.mark.parametrize("version", [1, 2])
def test_the_site_is_told_who_comes(site, version):
    session = new_session()
    session.local = LOCAL
    accept = accepting(None, site, fallback=SITE | {"proxy_protocol": version})
    through(play(accept, session) >> NO_TROJAN["http"])
    cursor = Cursor(bytes(site.received))
    assert decode_proxy_header(cursor)[:2] == (CLIENT, LOCAL)
    assert cursor.rest() == NO_TROJAN["http"]


def by_protocol(site, alpn, **tree):
    session = new_session()
    session.alpn = alpn
    sites = {"h2": OTHER, "http/1.1": SITE | {"server_port": 82}}
    return play(accepting(None, site, tls=TLS, fallback_for_alpn=sites, **tree), session) >> NO_TROJAN["http"]


@pytest.mark.parametrize(
    ("alpn", "target"), [("h2", "site.example:81"), ("http/1.1", "127.0.0.1:82"), ("", "127.0.0.1:8080")]
)
def test_a_site_for_each_protocol(site, alpn, target):
    through(by_protocol(site, alpn, fallback=SITE))
    assert str(site.session.target) == target


@pytest.mark.parametrize(("alpn", "tree"), [("x", {"fallback": SITE}), ("x", {}), ("", {})])
def test_no_site_for_a_protocol(site, alpn, tree):
    assert by_protocol(site, alpn, **tree).error().word == "protocol"
    assert not site.sessions


def test_why_is_told_at_the_debug_level_without_what_was_said(site, caplog):
    caplog.set_level("DEBUG")
    through(play(accepting(None, site, fallback=SITE)) >> NO_TROJAN["a wrong password"])
    assert "handed on to 127.0.0.1:8080: wrong password" in caplog.text
    assert key("wrong")[:8].decode() not in caplog.text


# -- the others, without one -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", NO_TROJAN)
def test_without_a_site_the_others_learn_nothing(users, site, what):
    began = now()
    talk = play(accepting(users, site)) >> NO_TROJAN[what]
    error = talk.error()
    assert PATIENCE <= now() - began < PATIENCE + 1, "closed when a silent one would be"
    talk.ended()
    assert isinstance(error, AuthError if "password" in what else ProtocolError)
    assert error.word == ("auth" if "password" in what else "protocol")
    assert not users.sessions
    assert not site.sessions


def test_a_silent_client_without_a_site():
    talk = play(accepting())
    assert talk.error().word == "protocol-timeout"
    talk.ended()


def test_an_unknown_command_is_no_fault_of_ours(users):
    talk = play(accepting(users)) >> key() + request(command=9)
    assert isinstance(talk.error(), Unsupported)


def test_that_it_has_failed_is_told_while_it_is_swallowed():
    """Who guesses could go on meanwhile."""
    watched = Watched()
    talk = play(accepting(None), watched.session) >> NO_TROJAN["a wrong password"]
    wait_until(lambda: watched.failures, "not told")
    assert talk._error is None, "it is over"
    talk.end()
    assert [talk.error()] == watched.failures
    assert isinstance(watched.failures[0], AuthError)
