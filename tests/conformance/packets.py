"""Every implementation of PacketConn, with the peer that a test plays. A new one is a function and a line in PAIRS."""

from __future__ import annotations

from _socket import socket
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from gproxy.base.address import Address
from gproxy.base.iface import PacketConn
from gproxy.layers.mux.uot import PacketsOverStream
from gproxy.net.buffered import Buffered
from gproxy.net.demux import ClientConn, Demux
from gproxy.net.tcp import SocketOptions
from gproxy.net.udp import UdpConn, bind_udp, open_udp
from gproxy.protocol.socks.packets import AssociatedClient
from gproxy.protocol.socks.wire import decode_datagram, encode_datagram_head
from gproxy.rt.sync import Queue
from gproxy.wire.cursor import Cursor
from gproxy.wire.uot import MAX_FRAME, Frame, decode_frame, encode_frame
from tests.support.pipe import pipe
from tests.support.playbook import new_session

LOOPBACK = IPv4Address("127.0.0.1")
LOOPBACK6 = IPv6Address("::1")
FAR = Address(IPv4Address("192.0.2.9"), 9)


@dataclass
class PacketPair:
    """`conn` is tried. What it sends to `address` comes out of `hear`, and what is said comes to it."""

    conn: PacketConn
    address: Address
    say: Callable[[bytes], None]
    hear: Callable[[], bytes]
    close: Callable[[], None]
    too_large: int = 65535  # a datagram of so many bytes can't be sent


def _client(sock: socket, host: IPv4Address | IPv6Address) -> PacketPair:
    conn, peer = UdpConn(sock), UdpConn(bind_udp(host, 0))
    to = Address(host, conn.bound().port)

    def close() -> None:
        conn.close()
        peer.close()

    return PacketPair(
        conn, peer.bound(), lambda data: peer.send_to(data, to), lambda: bytes(peer.recv_from()[0]), close
    )


def client_ipv4() -> PacketPair:
    """An IPv4 socket."""
    return _client(bind_udp(LOOPBACK, 0), LOOPBACK)


def client_ipv6() -> PacketPair:
    """An IPv6 socket."""
    return _client(bind_udp(LOOPBACK6, 0), LOOPBACK6)


def client_dual() -> PacketPair:
    """The socket of the direct outbound, and an IPv4 peer."""
    return _client(open_udp(SocketOptions(), LOOPBACK), LOOPBACK)


def connected() -> PacketPair:
    """A connected socket."""
    pair = client_dual()
    assert isinstance(pair.conn, UdpConn)
    pair.conn.connect(pair.address)
    return pair


def server() -> PacketPair:
    """A client of a shared socket. It speaks first, since that is how it becomes one."""
    sock = bind_udp(LOOPBACK, 0)
    accepted: Queue[ClientConn] = Queue()
    demux = Demux(sock, lambda conn, source: accepted.put(conn))
    demux.start()
    peer = UdpConn(bind_udp(LOOPBACK, 0))
    peer.send_to(b"hello", demux.local)
    conn = accepted.get()
    conn.recv_from()

    def close() -> None:
        conn.close()
        peer.close()
        demux.stop()
        sock.close()

    return PacketPair(
        conn, demux.local, lambda data: peer.send_to(data, demux.local), lambda: bytes(peer.recv_from()[0]), close
    )


def associated() -> PacketPair:
    """A client of SOCKS5's UDP ASSOCIATE."""
    inner, peer = UdpConn(bind_udp(LOOPBACK, 0)), UdpConn(bind_udp(LOOPBACK, 0))
    conn = AssociatedClient(inner, peer.bound(), Address(IPv4Address(0), peer.bound().port))
    to = inner.bound()

    def hear() -> bytes:
        cursor = Cursor(bytes(peer.recv_from()[0]))
        assert decode_datagram(cursor) == FAR
        return cursor.rest()

    def close() -> None:
        conn.close()
        peer.close()

    return PacketPair(conn, FAR, lambda data: peer.send_to(encode_datagram_head(FAR) + data, to), hear, close)


def over_stream() -> PacketPair:
    """UDP over TCP, client direction. It speaks first, since that is how it begins."""
    near, far = pipe()
    conn = PacketsOverStream.open(lambda target, session: near, FAR, new_session(), 1)
    peer = Buffered(far)

    def hear() -> bytes:
        frame = peer.decode(decode_frame, MAX_FRAME)
        assert frame.address == FAR
        return frame.payload

    def close() -> None:
        conn.close()
        far.close()

    conn.send_to(b"hello", FAR)
    hear()
    return PacketPair(conn, FAR, lambda data: far.sendall(encode_frame(Frame(FAR, data))), hear, close, 65536)


PAIRS: dict[str, Callable[[], PacketPair]] = {
    "ipv4": client_ipv4,
    "ipv6": client_ipv6,
    "dual": client_dual,
    "connected": connected,
    "server": server,
    "associated": associated,
    "over_stream": over_stream,
}
