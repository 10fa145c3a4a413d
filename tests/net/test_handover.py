from __future__ import annotations

import socket as consts
import time
from _socket import socket
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import StreamClosed
from gproxy.net.bind import Endpoint
from gproxy.net.demux import ClientConn, Demux
from gproxy.net.handover import Link, make_link, pack, unpack
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")

LOOPBACK = IPv4Address("127.0.0.1")


@pytest.mark.parametrize("name", [("127.0.0.1", 1), ("::1", 65535, 0, 3), ("fe80::1%eth0", 1, 0, 2)])
@pytest.mark.parametrize("data", [b"", b"x", b"\x1f\0", bytes(65507)])
def test_a_frame_is_read_as_it_was_written(name: tuple[Any, ...], data: bytes) -> None:
    assert unpack(pack(name, data)) == (name, data)


def test_a_link_speaks_both_ways_and_notices_the_end() -> None:
    near, far = make_link()
    heard: list[tuple[str, Any, bytes]] = []
    gone: list[str] = []
    one = Link(near, lambda name, data: heard.append(("one", name, data)), lambda: gone.append("one"))
    other = Link(far, lambda name, data: heard.append(("other", name, data)), lambda: gone.append("other"))
    one.say(("127.0.0.1", 1), b"datagram")
    other.say(("127.0.0.1", 1))
    wait_until(lambda: len(heard) == 2, "not heard")
    assert sorted(heard) == [("one", ("127.0.0.1", 1), b""), ("other", ("127.0.0.1", 1), b"datagram")]
    one.close()
    one.close()
    one.say(("127.0.0.1", 1), b"into nothing")
    wait_until(lambda: gone == ["other"], "the end is not noticed")
    assert (one.fileno(), other.fileno()) == (-1, -1)


class Plane:
    """A demultiplexer and what it made for its clients."""

    def __init__(self, sock: socket) -> None:
        self.conns: dict[Address, ClientConn] = {}
        self.demux = Demux(sock, self._serve)

    def _serve(self, conn: ClientConn, source: Address) -> None:
        self.conns[source] = conn

    def conn_of(self, client: socket) -> ClientConn:
        name = Address(LOOPBACK, client.getsockname()[1])
        wait_until(lambda: name in self.conns, "no connection was made for it")
        return self.conns[name]


@pytest.fixture
def sock() -> Iterator[socket]:
    sock = Endpoint("packet", LOOPBACK).open()
    yield sock
    sock.close()


def client_of(sock: socket) -> socket:
    client = socket(consts.AF_INET, consts.SOCK_DGRAM)
    client.bind(("127.0.0.1", 0))
    client.connect(sock.getsockname())
    return client


def hand_over(old: Plane, new: Plane) -> None:
    for clients, link in old.demux.hand_over():
        new.demux.adopt(clients, socket(fileno=consts.dup(link)))
    old.demux.handed_over()
    new.demux.start()


def close(*things: Any) -> None:
    for thing in things:
        if isinstance(thing, Plane):
            for conn in list(thing.conns.values()):
                conn.close()
            thing.demux.stop()
        else:
            thing.close()


def test_old_clients_stay_with_the_old_plane_and_new_ones_go_to_the_new(sock: socket) -> None:
    old, new = Plane(sock), Plane(sock)
    old.demux.start()
    early, late = client_of(sock), client_of(sock)
    early.send(b"1")
    conn = old.conn_of(early)
    assert conn.recv_from()[0] == b"1"
    hand_over(old, new)
    early.send(b"2")
    late.send(b"a")
    assert conn.recv_from()[0] == b"2"
    assert new.conn_of(late).recv_from()[0] == b"a"
    conn.send_to(b"answer", old.demux.local)
    assert early.recv(16) == b"answer"
    conn.close()
    wait_until(lambda: not new.demux._foreign, "the end of the flow is not told")
    early.send(b"3")
    assert new.conn_of(early).recv_from()[0] == b"3"
    close(old, new, early, late)


def test_a_datagram_for_a_flow_that_has_just_ended_is_not_lost(sock: socket) -> None:
    old, new = Plane(sock), Plane(sock)
    old.demux.start()
    client = client_of(sock)
    client.send(b"1")
    conn = old.conn_of(client)
    hand_over(old, new)
    client.send(b"2")
    conn.close()  # before the hub turns: the new plane can't know of it yet
    assert new.conn_of(client).recv_from()[0] == b"2"
    close(old, new, client)


def test_a_flow_may_be_handed_on_twice(sock: socket) -> None:
    planes = [Plane(sock) for _ in range(3)]
    planes[0].demux.start()
    client = client_of(sock)
    client.send(b"1")
    conn = planes[0].conn_of(client)
    conn.recv_from()
    hand_over(planes[0], planes[1])
    hand_over(planes[1], planes[2])
    client.send(b"2")
    assert conn.recv_from()[0] == b"2"
    conn.close()
    wait_until(lambda: not planes[2].demux._foreign, "the end of the flow is not told")
    close(*planes, client)


def test_when_the_old_plane_is_over_its_clients_begin_anew(sock: socket) -> None:
    old, new = Plane(sock), Plane(sock)
    old.demux.start()
    client = client_of(sock)
    client.send(b"1")
    old.conn_of(client)
    hand_over(old, new)
    close(old)
    assert old.demux._feed is not None
    old.demux._feed.close()
    wait_until(lambda: not new.demux._foreign, "the end of the plane is not noticed")
    client.send(b"2")
    assert new.conn_of(client).recv_from()[0] == b"2"
    close(new, client)


def test_when_the_new_plane_is_over_the_old_sessions_end(sock: socket) -> None:
    old, new = Plane(sock), Plane(sock)
    old.demux.start()
    client = client_of(sock)
    client.send(b"1")
    conn = old.conn_of(client)
    conn.recv_from()
    hand_over(old, new)
    for link in list(new.demux._flows):
        link.close()
    with pytest.raises(StreamClosed):
        conn.recv_from()
    close(old, new, client)


def test_when_the_new_plane_does_not_come_the_old_one_goes_on(sock: socket) -> None:
    old = Plane(sock)
    old.demux.start()
    early, late = client_of(sock), client_of(sock)
    early.send(b"1")
    conn = old.conn_of(early)
    conn.recv_from()
    links = [socket(fileno=consts.dup(link)) for _, link in old.demux.hand_over()]
    old.demux.handed_over()
    old.demux.start()
    early.send(b"2")
    late.send(b"a")
    assert conn.recv_from()[0] == b"2"
    assert old.conn_of(late).recv_from()[0] == b"a"
    close(old, early, late, *links)


def test_many_flows_end_in_little_time(sock: socket) -> None:
    """The link of an old plane is counted, not searched for."""
    new = Plane(sock)
    ours, theirs = make_link()
    names = [("127.0.0.1", port) for port in range(1, 20_001)]
    new.demux.adopt(names, ours)
    began = time.monotonic()
    for name in names:
        new.demux._disown(name)
    assert time.monotonic() - began < 2
    assert (new.demux._foreign, new.demux._flows) == ({}, {})
    assert theirs.recv(1) == b"", "the link is closed with the last of them"
    close(new, theirs)
