"""gproxy.protocol.shadowsocks.outbound, against gproxy's own inbound; what is on the wire is tested beside it."""

from __future__ import annotations

import os

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import DialError, StreamClosed
from gproxy.rt.group import Group
from gproxy.wire import uot
from gproxy.wire.socksaddr import encode_address
from tests.protocol.shadowsocks.lab import (
    METHODS_NOW,
    NAME,
    RETIRED,
    V4,
    door,
    first_words,
    make_inbound,
    make_outbound,
    secret,
)
from tests.support.dispatch import RecordingDispatcher
from tests.support.pipe import pipe
from tests.support.playbook import new_session

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.mark.parametrize("chunk", [0, 1, 100])
@pytest.mark.parametrize("target", [V4, NAME], ids=str)
@pytest.mark.parametrize("method", [*METHODS_NOW, *RETIRED, "none"])
def test_both_ends_understand_each_other(method, target, chunk):
    near, far = pipe(chunk=chunk)
    tree = {"method": method} if method == "none" else {"method": method, "password": secret(method)}
    dispatcher = RecordingDispatcher()
    accept = door(make_inbound(dispatcher, **tree))
    payload = os.urandom(3000 if chunk == 1 else 300_000)
    with Group("test") as group:
        group.spawn(accept, far, new_session())
        stream = make_outbound(lambda session: near, **tree).dial(target, new_session())
        stream.sendall(payload)
        back = b""
        while len(back) < len(payload):
            back += stream.recv()
        assert back == payload
        stream.close_write()
        assert stream.recv() == b""
        assert stream.recv() == b""
        stream.close()
    assert dispatcher.session.target == target
    assert dispatcher.session.user is None
    assert bytes(dispatcher.received) == payload


def test_the_address_and_the_first_payload_leave_together():
    sealed = first_words(method="aes-128-gcm", password="pw", payload=b"hello")
    assert len(sealed) == 16 + 2 + 16 + len(encode_address(V4)) + 5 + 16
    assert first_words(method="none", payload=b"hello") == encode_address(V4) + b"hello"


def test_a_client_that_only_listens_says_where_it_wants_to_go():
    near, far = pipe()
    stream = make_outbound(lambda session: near, method="none").dial(V4, new_session())
    assert stream.held()
    far.sendall(b"banner")
    assert stream.recv() == b"banner"
    assert far.recv() == encode_address(V4)
    assert not stream.held()


def test_a_client_that_ends_at_once_says_where_it_wanted_to_go():
    near, far = pipe()
    make_outbound(lambda session: near, method="aes-128-gcm", password="pw").dial(V4, new_session()).close_write()
    assert len(far.recv()) == 16 + 18 + 7 + 16
    assert far.recv() == b""


def test_no_two_connections_begin_alike():
    assert first_words(method="aes-128-gcm", password="pw") != first_words(method="aes-128-gcm", password="pw")


@pytest.mark.parametrize("method", ["aes-128-gcm", "2022-blake3-aes-128-gcm"])
def test_garbage_from_the_server(method):
    near, far = pipe()
    stream = make_outbound(lambda session: near, method=method, password=secret(method)).dial(V4, new_session())
    stream.sendall(b"hello")
    far.sendall(os.urandom(2000))
    with pytest.raises(StreamClosed) as caught:
        stream.recv()
    assert caught.value.reason == "corrupt"


@pytest.mark.parametrize("method", ["aes-128-gcm", "2022-blake3-aes-128-gcm"])
def test_a_server_that_ends_inside_a_record(method):
    near, far = pipe()
    stream = make_outbound(lambda session: near, method=method, password=secret(method)).dial(V4, new_session())
    stream.sendall(b"hello")
    far.sendall(b"short")
    far.close_write()
    with pytest.raises(StreamClosed) as caught:
        stream.recv()
    assert caught.value.reason == "truncated"


def test_what_fails_beneath_comes_out():
    def refused(session):
        raise DialError("no", reason="refused")

    with pytest.raises(DialError):
        make_outbound(refused, method="none").dial(V4, new_session())


def test_a_name_that_does_not_fit():
    def never(session):
        raise AssertionError("nothing is opened for that")

    with pytest.raises(DialError):
        make_outbound(never, method="none").dial(Address("a" * 300, 80), new_session())


def test_networks():
    assert make_outbound(None, method="none").networks == {"tcp", "udp"}
    assert make_outbound(None, method="none", network="tcp").networks == {"tcp"}


@pytest.mark.parametrize("version", [1, 2])
def test_datagrams_on_a_stream_leave_together_with_its_head(version):
    near, far = pipe()
    options = {"method": "none", "udp_over_tcp": {"enabled": True, "version": version}}
    conn = make_outbound(lambda session: near, **options).dial_packet(V4, new_session())
    with Group("test") as group:
        reader = group.spawn(conn.recv_from)
        conn.send_to(b"q", NAME)
        request = uot.encode_request(uot.Request(False, V4)) if version == 2 else b""
        frame = uot.encode_frame(uot.Frame(NAME, b"q"))
        assert far.recv() == encode_address(uot.TARGETS[version]) + request + frame
        far.sendall(frame)
        assert group.join(30)
        assert reader.successful()
    conn.close()
