"""Listeners and demultiplexers in a room with few places."""

from __future__ import annotations

import socket as consts
from _socket import socket
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

import pytest

from gproxy.base.address import Address
from gproxy.limit.room import Room
from gproxy.net.bind import Endpoint
from gproxy.net.demux import ClientConn, Demux
from gproxy.net.listen import StreamListener
from gproxy.net.stream import SocketStream
from gproxy.rt.sync import sleep
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")

LOOPBACK = IPv4Address("127.0.0.1")


@pytest.fixture
def stack() -> Iterator[list[Any]]:
    """What is put here is closed at the end."""
    opened: list[Any] = []
    yield opened
    for each in reversed(opened):
        each.close()


def listening(stack: list[Any], room: Room) -> tuple[socket, list[SocketStream], StreamListener]:
    sock = Endpoint("stream", LOOPBACK).open()
    stack.append(sock)
    served: list[SocketStream] = []

    def serve(stream: SocketStream, name: object) -> None:
        served.append(stream)
        stack.append(stream)

    return sock, served, StreamListener(sock, serve, room)


def connect(stack: list[Any], sock: socket, count: int) -> None:
    for _ in range(count):
        client = socket(consts.AF_INET, consts.SOCK_STREAM)
        client.connect(sock.getsockname())
        stack.append(client)


def settled() -> None:
    for _ in range(10):
        sleep(0.001)


def test_a_burst_stops_at_the_last_place_and_goes_on_later(stack: list[Any]) -> None:
    room = Room(5)
    sock, served, listener = listening(stack, room)
    connect(stack, sock, 8)
    listener.start()
    wait_until(lambda: len(served) == 5, "not all places are taken")
    settled()
    assert (len(served), room.taken) == (5, 5)
    room.leave()
    wait_until(lambda: len(served) == 6, "the free place is not taken")
    settled()
    assert len(served) == 6
    listener.stop()


def test_listeners_share_their_room(stack: list[Any]) -> None:
    room = Room(3)
    doors = [listening(stack, room) for _ in range(2)]
    for sock, _, listener in doors:
        connect(stack, sock, 3)
        listener.start()
    settled()
    assert sum(len(served) for _, served, _ in doors) == 3
    for _ in range(3):
        room.leave()
    wait_until(lambda: sum(len(served) for _, served, _ in doors) == 6, "the places are not taken")
    for _, _, listener in doors:
        listener.stop()


def test_a_stopped_listener_is_not_woken_by_a_free_place(stack: list[Any]) -> None:
    room = Room(1)
    sock, served, listener = listening(stack, room)
    connect(stack, sock, 2)
    listener.start()
    wait_until(lambda: room.taken == 1 and len(served) == 1, "nobody is served")
    settled()
    listener.stop()
    room.leave()
    settled()
    assert len(served) == 1
    listener.start()
    wait_until(lambda: len(served) == 2, "it does not begin again")
    listener.stop()


def test_a_pause_by_hand(stack: list[Any]) -> None:
    sock, served, listener = listening(stack, Room())
    listener.start()
    listener.pause()
    connect(stack, sock, 1)
    settled()
    assert served == []
    listener.resume()
    listener.resume()
    wait_until(lambda: len(served) == 1, "it does not resume")
    listener.stop()


def test_datagrams_of_new_clients_are_dropped_and_the_others_served(stack: list[Any]) -> None:
    room = Room(1)
    sock = Endpoint("packet", LOOPBACK).open()
    stack.append(sock)
    conns: list[ClientConn] = []
    demux = Demux(sock, lambda conn, source: conns.append(conn), room=room)
    demux.start()
    one, other = (socket(consts.AF_INET, consts.SOCK_DGRAM) for _ in range(2))
    for client in (one, other):
        client.connect(sock.getsockname())
        stack.append(client)
    one.send(b"first")
    wait_until(lambda: conns, "nobody is served")
    other.send(b"too many")
    one.send(b"second")
    assert [bytes(conns[0].recv_from()[0]) for _ in range(2)] == [b"first", b"second"]
    assert (len(conns), len(demux), room.taken) == (1, 1, 1)
    conns[0].close()
    room.leave()
    other.send(b"now")
    wait_until(lambda: len(conns) == 2, "the free place is not taken")
    data, to = conns[1].recv_from()
    assert (bytes(data), to) == (b"now", Address(LOOPBACK, sock.getsockname()[1]))
    conns[1].close()
    demux.stop()
