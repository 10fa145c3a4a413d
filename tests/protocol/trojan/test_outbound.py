"""gproxy.protocol.trojan.outbound."""

from __future__ import annotations

import pytest

from gproxy.base.errors import DialError
from gproxy.rt.sync import sleep
from tests.protocol.trojan.lab import NAME, NAME_BYTES, V4, V4_BYTES, key, make_outbound, packet, request
from tests.support.pipe import pipe
from tests.support.playbook import new_session

pytestmark = pytest.mark.usefixtures("no_leaks")


def dialled(target=V4, **tree):
    near, far = pipe()
    return make_outbound(lambda session: near, **tree).dial(target, new_session()), far


@pytest.mark.parametrize(("target", "address"), [(V4, V4_BYTES), (NAME, NAME_BYTES)])
def test_head_and_first_payload_leave_together(target, address):
    stream, far = dialled(target)
    assert stream.held()
    assert far.unread == b""
    stream.sendall(b"hello")
    assert far.recv() == key() + request(address) + b"hello"
    stream.sendall(b"more")
    assert far.recv() == b"more"
    stream.close()


def test_a_client_that_waits_for_the_server():
    stream, far = dialled()
    far.sendall(b"220 welcome")
    assert stream.recv() == b"220 welcome"
    assert far.recv() == key() + request()
    stream.close()


def test_its_own_password():
    stream, far = dialled(password="pässwörd")
    stream.close_write()
    assert far.recv() == key("pässwörd") + request()
    assert far.recv() == b""
    stream.close()


def test_datagrams():
    near, far = pipe()
    conn = make_outbound(lambda session: near).dial_packet(V4, new_session())
    sleep(0)
    assert far.unread == b""
    conn.send_to(b"ping", V4)
    assert far.recv() == key() + request(command=3) + packet(b"ping")
    conn.send_to(b"other", NAME)
    assert far.recv() == packet(b"other", NAME_BYTES)
    far.sendall(packet(b"pong", NAME_BYTES))
    assert conn.recv_from() == (b"pong", NAME)
    conn.close()


def test_networks():
    assert make_outbound(None).networks == {"tcp", "udp"}
    assert make_outbound(None, network="tcp").networks == {"tcp"}
    make_outbound(None).close()


@pytest.mark.parametrize("way", ["dial", "dial_packet"])
def test_a_server_that_is_not_there(way):
    def connect(session):
        raise DialError("no", reason="refused")

    with pytest.raises(DialError, match="no"):
        getattr(make_outbound(connect), way)(V4, new_session())
