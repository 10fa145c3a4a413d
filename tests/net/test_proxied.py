from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import ProtocolError
from gproxy.base.iface import Stream
from gproxy.base.session import Owner, Session
from gproxy.net import proxied as room
from gproxy.net.proxied import ProxyProtocol
from gproxy.wire.proxyproto import encode_v1, encode_v2
from tests.support.playbook import CLIENT, new_session, play

pytestmark = pytest.mark.usefixtures("no_leaks")

SOURCE = Address(IPv4Address("198.51.100.1"), 1234)
LOCAL = Address(IPv4Address("198.51.100.2"), 443)


def echo(stream: Stream, session: Session) -> None:
    while data := stream.recv():
        stream.sendall(data)


ACCEPT = ProxyProtocol().accepting(echo)


@pytest.mark.parametrize("header", [encode_v1(SOURCE, LOCAL), encode_v2(SOURCE, LOCAL)])
@pytest.mark.parametrize("chunk", [0, 1])
def test_the_header_tells_who_the_client_is_and_what_follows_is_kept(header: bytes, chunk: int) -> None:
    session = new_session()
    session.owner, session.dscp = Owner("/usr/sbin/haproxy"), 46
    (play(ACCEPT, session, chunk=chunk) >> header + b"hello" << b"hello" >> b"x" << b"x").end().closed()
    assert (session.source, session.local) == (SOURCE, LOCAL)
    assert (session.owner, session.dscp) == (None, 0)  # what was known of the proxy before


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", encode_v1(None, None), encode_v2(None, None)])
def test_one_that_tells_nothing_changes_nothing(header: bytes) -> None:
    session = new_session()
    (play(ACCEPT, session) >> header + b"hello" << b"hello").end().closed()
    assert (session.source, session.local) == (CLIENT, None)


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n", b"\x05\x01\x00" + bytes(20), b"PROXY TCP4 nonsense\r\n"])
def test_it_is_required(said: bytes) -> None:
    (play(ACCEPT) >> said).closed(raising=ProtocolError)


def test_a_client_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "PROXY_HEADER_TIMEOUT", 0.005)
    error = play(ACCEPT).error()
    assert isinstance(error, ProtocolError)
    assert error.reason == "timeout"


def test_its_time_is_over_when_it_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "PROXY_HEADER_TIMEOUT", 0.02)

    def slow(stream: Stream, session: Session) -> None:
        from gproxy.rt.sync import sleep

        sleep(0.03)
        echo(stream, session)

    (play(ProxyProtocol().accepting(slow)) >> encode_v1(SOURCE, LOCAL) + b"x" << b"x").end().closed()
