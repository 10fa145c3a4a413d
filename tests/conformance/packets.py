"""Every implementation of PacketConn, with the peer that a test plays. A new one is a function and a line in PAIRS."""

from __future__ import annotations

import logging
from _socket import socket
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv6Address

from gproxy.base.address import Address
from gproxy.base.iface import PacketConn, Reply, Stream
from gproxy.base.session import Session
from gproxy.base.wiring import InboundWiring, OutboundWiring
from gproxy.layers.mux.packets import MuxPackets
from gproxy.layers.mux.uot import PacketsOverStream
from gproxy.net.buffered import Buffered
from gproxy.net.demux import ClientConn, Demux
from gproxy.net.tcp import SocketOptions
from gproxy.net.udp import UdpConn, bind_udp, open_udp
from gproxy.protocol.shadowsocks.packets_entrance import packet_entrance
from gproxy.protocol.shadowsocks.packets_out import ClientPackets
from gproxy.protocol.shadowsocks.users import KeyRing
from gproxy.protocol.shadowsocks.wire.methods import METHODS
from gproxy.protocol.socks.packets import AssociatedClient
from gproxy.protocol.socks.wire import decode_datagram, encode_datagram_head
from gproxy.protocol.trojan.packets import TrojanPackets
from gproxy.protocol.trojan.wire import MAX_PACKET, Packet, decode_packet, encode_packet
from gproxy.rt.sync import Event, Queue
from gproxy.wire.cursor import Cursor
from gproxy.wire.socksaddr import encode_address
from gproxy.wire.uot import MAX_FRAME, Frame, decode_frame, encode_frame
from tests.support.pipe import pipe
from tests.support.playbook import new_session
from tests.support.replays import no_replays

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


def trojan() -> PacketPair:
    """A Trojan client's datagrams, server direction."""
    near, far = pipe()
    conn = TrojanPackets(near)
    peer = Buffered(far)

    def hear() -> bytes:
        packet = peer.decode(decode_packet, MAX_PACKET)
        assert packet.address == FAR
        return packet.payload

    def close() -> None:
        conn.close()
        far.close()

    return PacketPair(conn, FAR, lambda data: far.sendall(encode_packet(Packet(FAR, data))), hear, close, 65536)


def _mux(only: Address | None, request: bytes | None) -> PacketPair:
    near, far = pipe()
    conn = MuxPackets(near, only, request=request)
    peer = Buffered(far)
    name = b"" if only else encode_address(FAR)

    def hear() -> bytes:
        return peer.decode(partial(_mux_frame, name), 65535 + 300)

    def close() -> None:
        conn.close()
        far.close()

    if request is not None:
        conn.send_to(b"hello", FAR)
        peer.decode(lambda cursor: cursor.take(len(request)), 100)
        hear()
        far.sendall(b"\0")
    return PacketPair(
        conn, FAR, lambda data: far.sendall(name + len(data).to_bytes(2, "big") + data), hear, close, 65536
    )


def _mux_frame(name: bytes, cursor: Cursor) -> bytes:
    assert cursor.take(len(name)) == name
    return cursor.take(cursor.u16())


class _Handing:
    """A Dispatcher that hands its clients to a test."""

    def __init__(self) -> None:
        self.conns: Queue[PacketConn] = Queue()
        self.over = Event()

    def stream(self, session: Session, stream: Stream, reply: Reply) -> None:
        """See Dispatcher."""
        raise AssertionError("there are no streams here")

    def packets(self, session: Session, conn: PacketConn) -> None:
        """See Dispatcher."""
        self.conns.put(conn)
        self.over.wait()


class _Nearby:
    """A Dialer whose packets leave from loopback."""

    def dial(self, target: Address, session: Session) -> Stream:
        """See Dialer."""
        raise AssertionError("there are no streams here")

    def dial_packet(self, target: Address, session: Session) -> PacketConn:
        """See Dialer."""
        return UdpConn(bind_udp(LOOPBACK, 0))


def _no_port(session: Session) -> tuple[PacketConn, Address]:
    raise OSError("no port is wanted here")


def _no_stream(session: Session) -> Stream:
    raise AssertionError("there are no streams here")


def _shadowsocks(method: str) -> tuple[PacketConn, PacketConn, Callable[[], None]]:
    """Both ends, and what closes them. The client has spoken first."""
    made, log, handing, via = METHODS[method], logging.getLogger("test"), _Handing(), _Nearby()
    key = bytes(made.key_size)
    ring = KeyRing(made, b64encode(key).decode() if made.kind == "2022" else "", (), several=False)
    entrance = packet_entrance(ring, InboundWiring("in", handing, _no_port, no_replays(), log, handing))

    def serve(conn: ClientConn, source: Address) -> None:
        entrance.accept(conn, Session(1, "udp", "in", source, FAR))

    sock = bind_udp(LOOPBACK, 0)
    demux = Demux(sock, serve, admit=entrance.admit)
    demux.start()
    client = ClientPackets(made, [ring.key], demux.local, OutboundWiring("out", _no_stream, via, log)).open(
        Session(1, "udp", "in", FAR, FAR)
    )
    client.send_to(b"hello", FAR)
    served = handing.conns.get()
    served.recv_from()

    def close() -> None:
        client.close()
        served.close()
        handing.over.set()
        demux.stop()
        sock.close()

    return client, served, close


def shadowsocks_client(method: str) -> PacketPair:
    """The client side of Shadowsocks."""
    client, served, close = _shadowsocks(method)
    return PacketPair(client, FAR, lambda data: served.send_to(data, FAR), lambda: bytes(served.recv_from()[0]), close)


def shadowsocks_server(method: str) -> PacketPair:
    """The server side of Shadowsocks."""
    client, served, close = _shadowsocks(method)
    return PacketPair(served, FAR, lambda data: client.send_to(data, FAR), lambda: bytes(client.recv_from()[0]), close)


_SHADOWSOCKS = ("aes-128-gcm", "2022-blake3-aes-128-gcm", "2022-blake3-chacha20-poly1305", "none", "aes-128-ctr")

PAIRS: dict[str, Callable[[], PacketPair]] = {
    "ipv4": client_ipv4,
    "ipv6": client_ipv6,
    "dual": client_dual,
    "connected": connected,
    "server": server,
    "associated": associated,
    "over_stream": over_stream,
    "trojan": trojan,
    "mux-client": partial(_mux, None, b"request"),
    "mux-client-connected": partial(_mux, FAR, b"request"),
    "mux-server": partial(_mux, None, None),
    "mux-server-connected": partial(_mux, FAR, None),
    **{f"shadowsocks-client-{method}": partial(shadowsocks_client, method) for method in _SHADOWSOCKS},
    **{f"shadowsocks-server-{method}": partial(shadowsocks_server, method) for method in _SHADOWSOCKS},
}

STREAMED = {"over_stream", "trojan"} | {name for name in PAIRS if name.startswith("mux-")}
"""Those whose datagrams travel on a stream, and so may have to wait."""
