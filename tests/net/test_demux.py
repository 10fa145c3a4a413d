from __future__ import annotations

import os
import socket as consts
from _socket import socket
from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest

from gproxy.base.address import Address
from gproxy.base.defaults import UDP_INBOX
from gproxy.base.errors import StreamClosed
from gproxy.base.iface import Admit
from gproxy.net.bind import Endpoint
from gproxy.net.demux import ClientConn, Demux
from gproxy.rt.sync import Event, sleep
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")

LOOPBACK = IPv4Address("127.0.0.1")


class Server:
    """A shared socket, its clients, and the connections that were made for them."""

    def __init__(self, sessions: int = 100, admit: Admit | None = None) -> None:
        self.sock = Endpoint("packet", LOOPBACK).open()
        self.conns: dict[Address, ClientConn] = {}
        self.order: list[Address] = []
        self.demux = Demux(self.sock, self.serve, sessions, admit=admit)
        self.demux.start()
        self._mine: list[socket] = []
        self._over = Event()

    def serve(self, conn: ClientConn, source: Address) -> None:
        self.conns[source] = conn
        self.order.append(source)

    def client(self) -> tuple[socket, Address]:
        sock = socket(consts.AF_INET, consts.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        sock.connect(self.sock.getsockname())
        sock.setblocking(False)
        self._mine.append(sock)
        return sock, Address(LOOPBACK, sock.getsockname()[1])

    def conn_of(self, source: Address) -> ClientConn:
        wait_until(lambda: source in self.conns, "no connection was made for it")
        return self.conns[source]

    def close(self) -> None:
        for conn in list(self.conns.values()):
            conn.close()
        self.demux.stop()
        self.sock.close()
        for sock in self._mine:
            sock.close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def receive(sock: socket) -> bytes:
    data = b""

    def come() -> bool:
        nonlocal data
        try:
            data = sock.recv(65535)
        except BlockingIOError:
            return False
        return True

    wait_until(come, "no answer")
    return data


def test_each_client_has_a_connection_of_its_own(server: Server) -> None:
    (one, one_name), (other, other_name) = server.client(), server.client()
    one.send(b"from one")
    other.send(b"from other")
    one.send(b"again")
    first, second = server.conn_of(one_name), server.conn_of(other_name)
    assert first is not second
    local = Address(LOOPBACK, server.sock.getsockname()[1])
    assert first.recv_from() == (b"from one", local)
    assert second.recv_from() == (b"from other", local)
    assert first.recv_from() == (b"again", local)
    second.send_to(b"to other", local)
    first.send_to(b"to one", local)
    assert (receive(one), receive(other)) == (b"to one", b"to other")
    assert len(server.demux) == 2


def test_many_clients_do_not_mix(server: Server) -> None:
    clients = [server.client() for _ in range(60)]
    for _ in range(3):
        for number, (sock, _) in enumerate(clients):
            sock.send(b"%d" % number)
    for number, (sock, name) in enumerate(clients):
        conn = server.conn_of(name)
        for _ in range(3):
            assert conn.recv_from()[0] == b"%d" % number
        conn.send_to(b"re %d" % number, server.demux.local)
        assert receive(sock) == b"re %d" % number


def test_an_inbox_is_bounded_and_counts_what_it_drops(server: Server) -> None:
    sock, name = server.client()
    sock.send(b"0")
    conn = server.conn_of(name)
    for number in range(1, UDP_INBOX + 10):  # as if they had come: the kernel may lose some of so many
        conn.deliver(b"%d" % number)
    assert conn.dropped == 10
    assert [conn.recv_from()[0] for _ in range(UDP_INBOX)] == [b"%d" % number for number in range(UDP_INBOX)]
    sock.send(b"room again")
    assert conn.recv_from()[0] == b"room again"


def test_what_is_not_admitted_begins_no_session_and_a_session_is_not_asked_again() -> None:
    asked: list[tuple[bytes, str]] = []

    def admit(data: bytes, host: str) -> bool:
        asked.append((data, host))
        return data.startswith(b"good")

    server = Server(admit=admit)
    (one, one_name), (other, other_name) = server.client(), server.client()
    one.send(b"bad")
    one.send(b"worse")
    one.send(b"good")
    one.send(b"bad, but inside")
    conn = server.conn_of(one_name)
    assert [conn.recv_from()[0] for _ in range(2)] == [b"good", b"bad, but inside"]
    other.send(b"bad")
    wait_until(lambda: len(asked) == 4, "the other one was not asked about")
    assert asked == [(data, "127.0.0.1") for data in (b"bad", b"worse", b"good", b"bad")]
    assert other_name not in server.conns
    assert len(server.demux) == 1
    server.close()


def test_the_longest_idle_one_makes_room() -> None:
    server = Server(sessions=3)
    clients = [server.client() for _ in range(3)]
    for sock, name in clients:
        sock.send(b"x")
        server.conn_of(name).recv_from()
    clients[0][0].send(b"still here")
    server.conn_of(clients[0][1]).recv_from()
    late, late_name = server.client()
    late.send(b"me too")
    server.conn_of(late_name).recv_from()
    assert len(server.demux) == 3
    with pytest.raises(StreamClosed):
        server.conn_of(clients[1][1]).recv_from()
    for kept in (clients[0], clients[2]):
        server.conn_of(kept[1]).send_to(b"kept", server.demux.local)
        assert receive(kept[0]) == b"kept"
    server.close()


def test_after_its_end_a_client_begins_anew(server: Server) -> None:
    sock, name = server.client()
    sock.send(b"first")
    first = server.conn_of(name)
    first.close()
    first.close()
    assert len(server.demux) == 0
    del server.conns[name]
    sock.send(b"second")
    second = server.conn_of(name)
    assert second is not first
    assert second.recv_from()[0] == b"second"
    first.close()
    assert len(server.demux) == 1


def test_a_stop_leaves_the_socket_and_the_sessions(server: Server) -> None:
    sock, name = server.client()
    sock.send(b"x")
    conn = server.conn_of(name)
    server.demux.stop()
    server.demux.stop()
    sock.send(b"for the next reader")
    sleep(0.002)
    conn.send_to(b"still answering", server.demux.local)
    assert receive(sock) == b"still answering"
    assert conn.recv_from()[0] == b"x"
    os.fstat(server.sock.fileno())
    server.demux.start()
    assert conn.recv_from()[0] == b"for the next reader"


def test_an_error_for_an_earlier_answer_disturbs_nobody(server: Server) -> None:
    sock, name = server.client()
    sock.send(b"x")
    conn = server.conn_of(name)
    sock.close()
    conn.send_to(b"nobody is there", server.demux.local)  # ICMP port unreachable comes back
    other, other_name = server.client()
    other.send(b"y")
    assert server.conn_of(other_name).recv_from()[0] == b"y"


@pytest.mark.parametrize(("marked", "seen"), [(True, 46), (False, 0)])
def test_the_code_point_of_the_first_datagram_is_looked_at_if_anybody_asks(marked: bool, seen: int) -> None:
    points: list[int] = []
    sock = Endpoint("packet", LOOPBACK).open()
    demux = Demux(sock, lambda conn, source: points.append(conn.dscp), marked=marked)
    demux.start()
    client = socket(consts.AF_INET, consts.SOCK_DGRAM)
    client.setsockopt(consts.IPPROTO_IP, consts.IP_TOS, 46 << 2)
    client.sendto(b"hello", sock.getsockname())
    wait_until(lambda: bool(points), "no session began")
    assert points == [seen]
    demux.stop()
    client.close()
    sock.close()
