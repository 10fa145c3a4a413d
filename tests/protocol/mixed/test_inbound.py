"""gproxy.protocol.mixed: the first octet decides."""

from __future__ import annotations

import logging
from ipaddress import IPv4Address

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import AuthError, ProtocolError
from gproxy.base.wiring import InboundWiring
from gproxy.protocol import INBOUNDS
from gproxy.protocol.mixed import inbound
from gproxy.schema.fields import Secret
from gproxy.schema.groups import User
from tests.support.dispatch import RecordingDispatcher
from tests.support.playbook import play
from tests.support.replays import no_replays

pytestmark = pytest.mark.usefixtures("no_leaks")

BOUND = Address(IPv4Address("198.51.100.9"), 1234)
TARGET = b"\x01\xc0\x00\x02\x01\x00\x50"
DONE = b"\x05\x00\x00\x01\xc6\x33\x64\x09\x04\xd2"


def mixed(*users):
    row, dispatcher = INBOUNDS.row("mixed"), RecordingDispatcher(bound=BOUND)
    options = row.options(type="mixed", users=tuple(User(username=name, password=Secret(word)) for name, word in users))
    built = row.build(
        options,
        InboundWiring("in", dispatcher, lambda session: None, no_replays(), logging.getLogger("test"), dispatcher),
    )
    [entrance] = built.entrances()
    return entrance.accept, dispatcher


@pytest.mark.parametrize("chunk", [0, 1])
def test_socks5(chunk):
    accept, dispatcher = mixed()
    talk = play(accept, chunk=chunk) >> b"\x05\x01\x00" << b"\x05\x00" >> b"\x05\x01\x00" + TARGET << DONE
    (talk >> b"ping" << b"ping").end().closed()
    assert dispatcher.session.target == Address(IPv4Address("192.0.2.1"), 80)


@pytest.mark.parametrize("chunk", [0, 1])
def test_socks4(chunk):
    accept, dispatcher = mixed()
    talk = play(accept, chunk=chunk) >> b"\x04\x01\x00\x50\xc0\x00\x02\x01\x00" << b"\x00\x5a\x04\xd2\xc6\x33\x64\x09"
    talk.end().closed()
    assert dispatcher.session.target == Address(IPv4Address("192.0.2.1"), 80)


@pytest.mark.parametrize("chunk", [0, 1])
def test_http(chunk):
    accept, dispatcher = mixed()
    talk = play(accept, chunk=chunk) >> b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n"
    (talk << b"HTTP/1.1 200").stop()
    assert dispatcher.session.target == Address("example.com", 443)


def test_both_know_the_same_users():
    accept, dispatcher = mixed(("u", "pw1"))
    talk = play(accept) >> b"\x05\x01\x02" << b"\x05\x02" >> b"\x01\x01u\x03pw1" << b"\x01\x00"
    (talk >> b"\x05\x01\x00" + TARGET << DONE).end().closed()
    assert dispatcher.session.user == "u"
    (play(accept) >> b"\x05\x01\x00" << b"\x05\xff").closed(raising=AuthError)
    (play(accept) >> b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n" << b"HTTP/1.1 407").stop()
    assert len(dispatcher.sessions) == 1


def test_a_client_that_says_nothing():
    talk = play(mixed()[0]).end()
    talk.closed(raising=ProtocolError)
    assert talk.error().reason == "empty"


def test_a_client_that_waits_too_long(monkeypatch):
    monkeypatch.setattr(inbound, "HANDSHAKE_TIMEOUT", 0.02)
    talk = play(mixed()[0])
    talk.closed(raising=ProtocolError)
    assert talk.error().reason == "timeout"
