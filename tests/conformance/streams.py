"""Every implementation of Stream, as a pair of ends to try. A new one is a function and a line in PAIRS."""

from __future__ import annotations

import contextlib
import socket as consts
from _socket import socket, socketpair
from collections.abc import Callable
from functools import partial
from typing import Any

from gproxy.base.errors import StreamClosed
from gproxy.base.iface import Accept, Branch, ClientLayer, Multiplexer, ServerLayer, Stream
from gproxy.base.session import Session
from gproxy.layers.mux.padding import Padded
from gproxy.layers.transport.grpc import GrpcClient, GrpcServer
from gproxy.layers.transport.http2 import Http2Client
from gproxy.layers.transport.httpstream import Http1Client, StreamClient, StreamServer
from gproxy.layers.transport.httpupgrade import HttpUpgradeClient, HttpUpgradeServer
from gproxy.layers.transport.obfs import HttpClient, HttpServer, TlsClient, TlsServer
from gproxy.layers.transport.websocket import WsClient, WsServer
from gproxy.net.buffered import Buffered
from gproxy.net.framed import Framed
from gproxy.net.headed import Headed
from gproxy.net.link import Link, LinkStream
from gproxy.net.stream import SocketStream
from gproxy.protocol.http.forward import Exchange
from gproxy.protocol.http.intake import Intake
from gproxy.protocol.http.users import Users
from gproxy.relay.firstword import Listened
from gproxy.rt.crew import launch
from gproxy.rt.group import Group
from gproxy.rt.sync import Event, Queue
from gproxy.wire.smux import Smux
from gproxy.wire.yamux import Yamux
from tests.conformance.records import PlainOpener, PlainSealer
from tests.support.pipe import pipe
from tests.support.playbook import new_session

Pair = tuple[Stream, Stream]

# Small enough that a mebibyte has to wait for its reader several times.
KERNEL_BUFFER = 32 * 1024


def shrink(sock: socket) -> socket:
    """Give the socket small buffers, and make it non-blocking."""
    sock.setsockopt(consts.SOL_SOCKET, consts.SO_SNDBUF, KERNEL_BUFFER)
    sock.setsockopt(consts.SOL_SOCKET, consts.SO_RCVBUF, KERNEL_BUFFER)
    sock.setblocking(False)
    return sock


def unix_pair() -> tuple[SocketStream, SocketStream]:
    """Two ends of a socketpair."""
    near, far = socketpair()
    return SocketStream(shrink(near)), SocketStream(shrink(far))


def tcp_pair() -> tuple[SocketStream, SocketStream]:
    """Two ends of a TCP connection over loopback."""
    listener = shrink(socket(consts.AF_INET, consts.SOCK_STREAM))
    try:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        near = socket(consts.AF_INET, consts.SOCK_STREAM)
        near.setsockopt(consts.SOL_SOCKET, consts.SO_RCVBUF, KERNEL_BUFFER)
        near.connect(listener.getsockname())
        fd, _ = listener._accept()
    finally:
        listener.close()
    return SocketStream(shrink(near)), SocketStream(shrink(socket(fileno=fd)))


def memory_pair() -> Pair:
    """Two ends of the test kit's pipe: what other tests build on must keep the promises too."""
    return pipe(capacity=KERNEL_BUFFER)


def buffered_pair() -> Pair:
    """A stream whose handshake has been read."""
    near, far = tcp_pair()
    return Buffered(near), Buffered(far)


def read_ahead_pair() -> Pair:
    """A stream whose handshake has been read together with the beginning of what followed, all of it taken."""
    near, far = unix_pair()
    far.sendall(b"handshake and more")
    buffered = Buffered(near)
    buffered.decode(lambda cursor: cursor.take(9), 64)
    assert buffered.take() == b" and more"
    return buffered, far


def sniffed_pair() -> Pair:
    """A stream whose first bytes a rule has looked at, all of them taken, and then waited for the server's."""
    near, far = unix_pair()
    far.sendall(b"first words")
    sniffed = Buffered(near)
    while sniffed.ahead != b"first words":
        sniffed.more()
    listened = Listened(sniffed)
    assert listened.listen()
    assert listened.take() == b"first words"
    return listened, far


def upgraded_pair() -> Pair:
    """A forwarded HTTP request after a 101: the client's stream again, beneath an Exchange."""
    near, far = unix_pair()
    far.sendall(b"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
    client = Buffered(near)
    intake = Intake(client, Users(()))
    exchange = Exchange(client, intake, intake.first())
    assert exchange.recv().startswith(b"GET / ")
    exchange.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n")
    assert far.recv().endswith(b"\r\n\r\n")
    return exchange, far


class Beheaded:
    """The far end of a stream that has something to say first: it has heard that, and gives what comes after it."""

    def __init__(self, inner: Stream, head: bytes) -> None:
        self._inner = inner
        self._head = head

    def recv(self) -> bytes:
        while True:
            data = self._inner.recv()
            assert data[: len(self._head)] == self._head[: len(data)], "not the head"
            rest, self._head = data[len(self._head) :], self._head[len(data) :]
            if rest or not data:
                return rest

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def framed(inner: Stream, head: bytes = b"") -> Framed:
    """The tests' own records over a stream; a head is held back."""
    return Framed(inner, PlainOpener(), PlainSealer(head), held=bool(head))


def framed_pair() -> Pair:
    """Records over TCP."""
    near, far = tcp_pair()
    return framed(near), framed(far)


def nested_pair() -> Pair:
    """Records within records within records."""
    near, far = framed_pair()
    return framed(framed(near)), framed(framed(far))


def ws_in_records_pair() -> Pair:
    """A WebSocket within records, as within TLS: it has a word for the end, and what lies beneath is not ended."""
    return upgrade_pair(WsClient("a.test", "/", {}), WsServer("/", {}), framed_pair)


def framed_memory_pair() -> Pair:
    """Records over a stream without a descriptor."""
    near, far = memory_pair()
    return framed(near), framed(far)


def framed_with_a_head_pair() -> Pair:
    """Records whose sealer has a head that waits for the first payload."""
    near, far = tcp_pair()
    return framed(near, b"head"), Beheaded(framed(far), b"head")


def headed_pair() -> Pair:
    """A stream with a request head that waits for the first payload."""
    near, far = tcp_pair()
    return Headed(near, b"head"), Beheaded(far, b"head")


def headed_framed_pair() -> Pair:
    """A request head that becomes the first record."""
    near, far = tcp_pair()
    return Headed(framed(near), b"head"), Beheaded(framed(far), b"head")


def obfs_pair(client: ClientLayer, server: ServerLayer) -> Pair:
    """Two ends of simple-obfs: the client has asked, and the server has answered nothing yet."""
    near, far = tcp_pair()
    asking = client.connecting(lambda session: near)(new_session())
    asking.sendall(b"")
    opened: list[Stream] = []
    server.accepting(lambda stream, session: opened.append(stream))(far, new_session())
    return asking, opened[0]


def obfs_http_pair() -> Pair:
    """simple-obfs that looks like HTTP."""
    return obfs_pair(HttpClient("a.test", 80), HttpServer())


def obfs_tls_pair() -> Pair:
    """simple-obfs that looks like TLS."""
    return obfs_pair(TlsClient("a.test"), TlsServer())


def upgrade_pair(client: ClientLayer, server: ServerLayer, over: Callable[[], Pair] | None = None) -> Pair:
    """Two ends of a transport that begins as an HTTP request: the client has asked, and the server has agreed."""
    near, far = (over or tcp_pair)()
    opened: list[Stream] = []
    with Group("test") as group:
        group.spawn(server.accepting(lambda stream, session: opened.append(stream)), far, new_session())
        asking = client.connecting(lambda session: near)(new_session())
        asking.sendall(b"")
    return asking, opened[0]


def ws_pair() -> Pair:
    """A WebSocket."""
    return upgrade_pair(WsClient("a.test", "/", {}), WsServer("/", {}))


def ws_early_pair() -> Pair:
    """A WebSocket that could have been asked for with a payload."""
    return upgrade_pair(WsClient("a.test", "/", {}, early=9), WsServer("/", {}, early=True))


def httpupgrade_pair() -> Pair:
    """Bytes behind a request to upgrade."""
    return upgrade_pair(HttpUpgradeClient("a.test", "/", {}), HttpUpgradeServer("", "/", {}))


class OnLink:
    """A stream of a link that is there for this pair alone: closing the second of them closes the link."""

    def __init__(self, stream: Stream, closed: Callable[[], None]) -> None:
        self._stream = stream
        self._closed = closed

    def close(self) -> None:
        self._stream.close()
        self._closed()

    def abort(self) -> None:
        self._stream.abort()
        self._closed()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def greeted(asking: Stream, serving: Stream, parted: Event, end: Callable[[], object]) -> Pair:
    """Both ends of a link's stream, which have met. When both are closed, they have parted, and the link ends."""
    serving.sendall(b"hello")
    assert asking.recv() == b"hello"
    left = {0, 1}

    def closed(which: int) -> None:
        left.discard(which)
        if not left:
            parted.set()
            end()

    return OnLink(asking, partial(closed, 0)), OnLink(serving, partial(closed, 1))


def link_pair(near: Stream, far: Stream, client: Multiplexer, server: Multiplexer) -> Pair:
    """A stream of a link: the client's end, and the server's. Each has heard what the other core says first."""
    opened: Queue[Stream] = Queue()
    parted = Event()

    def serve(stream: LinkStream, head: Any) -> None:
        opened.put(stream)
        parted.wait()

    asking, serving = Link(near, client, inbox=KERNEL_BUFFER), Link(far, server, serve, inbox=KERNEL_BUFFER)
    launch(serving.run)
    asking.start()
    return greeted(asking.open(), opened.get(), parted, asking.close)


def smux_pair() -> Pair:
    """A stream of an smux link."""
    return link_pair(*tcp_pair(), Smux(client=True), Smux(client=False))


def yamux_pair() -> Pair:
    """A stream of a yamux link."""
    return link_pair(*tcp_pair(), Yamux(client=True), Yamux(client=False))


def request_pair(client: Http2Client, server: Callable[[Branch], ServerLayer]) -> Pair:
    """A stream of a link that a transport makes by itself: the client has asked, and the server has agreed."""
    near, far = tcp_pair()
    opened: Queue[Stream] = Queue()
    parted = Event()

    def branch(accept: Accept, stream: Stream, session: Session) -> None:
        accept(stream, session)

    def then(stream: Stream, session: Session) -> None:
        opened.put(stream)
        parted.wait()

    def serve(stream: Stream) -> None:
        with contextlib.suppress(StreamClosed):  # the client hangs up
            server(branch).accepting(then)(stream, new_session())

    launch(serve, far)
    asking = client.connecting(lambda session: near)(new_session())
    return greeted(asking, opened.get(), parted, client.close)


def http2_pair() -> Pair:
    """The bodies of an HTTP/2 request."""
    client = StreamClient(["a.test"], "/", "", {})
    return request_pair(client, lambda branch: StreamServer(["a.test"], "/", "", {}, branch))


def http1_pair() -> Pair:
    """The bodies of an HTTP/1.1 request, whose answer has been heard."""
    near, far = tcp_pair()
    asking = Http1Client(["a.test"], "/", "", {}).connecting(lambda session: near)(new_session())
    asking.sendall(b"")
    opened: list[Stream] = []
    server = StreamServer(["a.test"], "/", "", {}, lambda accept, stream, session: None)
    server.accepting(lambda stream, session: opened.append(stream))(far, new_session())
    opened[0].sendall(b"hello")
    assert asking.recv() == b"hello"
    return asking, opened[0]


def grpc_pair() -> Pair:
    """A gRPC call."""
    return request_pair(GrpcClient("a.test", "Gun", scheme="http"), lambda branch: GrpcServer("Gun", branch))


def padded_pair() -> Pair:
    """A stream whose first pieces are padded."""
    near, far = tcp_pair()
    return Padded(near), Padded(far)


PAIRS: dict[str, Callable[[], Pair]] = {
    "unix": unix_pair,
    "tcp": tcp_pair,
    "memory": memory_pair,
    "buffered": buffered_pair,
    "read ahead": read_ahead_pair,
    "sniffed": sniffed_pair,
    "upgraded": upgraded_pair,
    "framed": framed_pair,
    "framed memory": framed_memory_pair,
    "framed with a head": framed_with_a_head_pair,
    "headed": headed_pair,
    "headed framed": headed_framed_pair,
    "obfs http": obfs_http_pair,
    "obfs tls": obfs_tls_pair,
    "ws": ws_pair,
    "ws early": ws_early_pair,
    "nested": nested_pair,
    "ws in records": ws_in_records_pair,
    "httpupgrade": httpupgrade_pair,
    "smux": smux_pair,
    "yamux": yamux_pair,
    "padded": padded_pair,
    "http2": http2_pair,
    "http1": http1_pair,
    "grpc": grpc_pair,
}

BOUND = {
    "tcp", "buffered", "framed", "framed with a head", "headed", "headed framed", "obfs http", "obfs tls", "ws",
    "ws early", "nested", "ws in records", "httpupgrade", "smux", "yamux", "padded", "http2", "http1", "grpc",
}  # fmt: skip
"""Where a stream has an address of its own."""

RESETS = BOUND - {"smux"} | {"memory", "framed memory"}
"""Where `abort` can be told from `close` at the other end."""
