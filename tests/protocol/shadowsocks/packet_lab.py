"""Both ends of Shadowsocks over UDP for tests: on real sockets, or on connections in memory."""

from __future__ import annotations

import contextlib
import logging
from ipaddress import IPv4Address

from gproxy.base.address import UNSPECIFIED, Address
from gproxy.base.errors import GproxyError
from gproxy.base.iface import PacketEntrance
from gproxy.base.session import Session
from gproxy.base.wiring import OutboundWiring
from gproxy.net.bind import Endpoint
from gproxy.net.demux import Demux
from gproxy.net.udp import UdpConn, bind_udp
from gproxy.protocol.shadowsocks import OUTBOUND
from gproxy.protocol.shadowsocks.options import ShadowsocksOutboundOptions
from gproxy.protocol.shadowsocks.wire.methods import METHODS
from gproxy.rt.deadline import deadline
from gproxy.rt.group import Group
from tests.protocol.shadowsocks.lab import make_inbound, options
from tests.support.dispatch import RecordingDispatcher
from tests.support.packets import MemoryPackets

LOOPBACK = IPv4Address("127.0.0.1")
SERVER = Address(IPv4Address("192.0.2.9"), 8388)
HOME = Address(IPv4Address("198.51.100.7"), 40000)
TARGET = Address(IPv4Address("192.0.2.1"), 5353)
ALL = tuple(METHODS)
AES_2022 = tuple(name for name, method in METHODS.items() if method.kind == "2022" and method.block)
SEALED = tuple(name for name, method in METHODS.items() if method.kind in ("aead", "2022"))


def packet_door(inbound) -> PacketEntrance:
    """Its entrance for packets."""
    [entrance] = [each for each in inbound.entrances() if isinstance(each, PacketEntrance)]
    return entrance


def new_session(source: Address = HOME) -> Session:
    """As the boundary makes it for a client address."""
    return Session(1, "udp", "in", source, UNSPECIFIED, UNSPECIFIED)


class Dialer:
    """Gives packet connections away, one after another."""

    def __init__(self, *conns) -> None:
        self.conns = list(conns)
        self.asked: list[Address] = []

    def dial_packet(self, target, session):
        self.asked.append(target)
        return self.conns.pop(0) if self.conns else UdpConn(bind_udp(LOOPBACK, 0))


def make_client(via, server: Address = SERVER, **tree):
    """A packet connection through an outbound with these options."""
    tree = {"server": str(server.host), "server_port": server.port, **tree}
    wiring = OutboundWiring("out", None, via, logging.getLogger("test"))
    return OUTBOUND.build(options(ShadowsocksOutboundOptions, **tree), wiring).dial_packet(TARGET, new_session())


class Network:
    """The server's side of a network in memory: a session for each client address, as a demux makes them."""

    def __init__(self, dispatcher=None, replays=None, **tree) -> None:
        self.dispatcher = dispatcher or RecordingDispatcher()
        self.inbound = make_inbound(self.dispatcher, replays, **tree)
        self.door = packet_door(self.inbound)
        self.conns: dict[Address, MemoryPackets] = {}
        self.errors: list[GproxyError] = []
        self.begun = 0
        self._group = Group("network")

    def say(self, packet: bytes, source: Address = HOME) -> None:
        """Let a packet come from an address."""
        conn = self.conns.get(source)
        if conn is None or conn.closed:
            if not self.door.admit(packet, str(source.host)):
                return
            self.begun += 1
            conn = self.conns[source] = MemoryPackets()
            self._group.spawn(self._serve, conn, source)
        conn.deliver(packet, UNSPECIFIED)

    def _serve(self, conn: MemoryPackets, source: Address) -> None:
        try:
            self.door.accept(conn, new_session(source))
        except GproxyError as error:
            self.errors.append(error)
        finally:
            conn.close()

    def heard(self, source: Address, count: int = 1) -> list[bytes]:
        """What an address has got, as soon as that is so many packets."""
        return [data for data, _ in self.conns[source].wait_sent(count)]

    def close(self) -> None:
        """End all sessions."""
        for conn in self.conns.values():
            conn.close()
        assert self._group.join(30), "a session does not end"


@contextlib.contextmanager
def network(**kwargs):
    """A network that is closed at the end."""
    made = Network(**kwargs)
    try:
        yield made
    finally:
        made.close()


class Server:
    """An inbound behind a real UDP socket. What it hands on comes back as an echo."""

    def __init__(self, **tree) -> None:
        self.dispatcher = RecordingDispatcher()
        self._door = packet_door(make_inbound(self.dispatcher, **tree))
        self._sock = Endpoint("packet", LOOPBACK).open()
        self._demux = Demux(self._sock, self._serve, admit=self._door.admit)
        self._demux.start()
        self.address = self._demux.local
        self.begun = 0
        self._conns = []

    def _serve(self, conn, source: Address) -> None:
        self.begun += 1
        self._conns.append(conn)
        with contextlib.suppress(GproxyError):
            self._door.accept(conn, new_session(source))
        conn.close()

    def close(self) -> None:
        """End all sessions."""
        for conn in self._conns:
            conn.close()
        self._demux.stop()
        self._sock.close()


@contextlib.contextmanager
def served(**tree):
    """A server that is closed at the end."""
    server = Server(**tree)
    try:
        yield server
    finally:
        server.close()


def heard(conn) -> tuple[bytes, Address]:
    """The next datagram of a packet connection."""
    with deadline(30, AssertionError("nothing was heard")):
        data, address = conn.recv_from()
    return bytes(data), address


class Sealed:
    """The packets that a client with these options makes."""

    def __init__(self, **tree) -> None:
        self.conn = MemoryPackets()
        self.client = make_client(Dialer(self.conn), **tree)

    def packet(self, payload: bytes = b"hello", target: Address = TARGET) -> bytes:
        """The next one."""
        self.client.send_to(payload, target)
        return self.conn.sent.pop()[0]

    def opened(self, packet: bytes) -> tuple[bytes, Address]:
        """What the client hears in a packet of the server."""
        self.conn.deliver(packet, SERVER)
        return heard(self.client)
