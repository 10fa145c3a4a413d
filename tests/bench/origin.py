"""The far end of every relay: an echo, an HTTP server, a source and sink of bulk, and a datagram echo, each in a
process of its own.

The bulk server reads a head of nine bytes, then moves that many bytes:

    +------------+--------------------+
    | D, U  or P | length, big-endian |   D: it sends `length` bytes and closes
    |     1      |         8          |   U: it reads `length` bytes and answers one byte
    +------------+--------------------+   P: it sends `length` bytes and waits for the next head
"""

from __future__ import annotations

import select
import signal
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.process import BaseProcess

from tests.bench import sandbox

HEAD = struct.Struct("!cQ")
DOWNLOAD = b"D"
UPLOAD = b"U"
PART = b"P"
_CHUNK = 1 << 20
_STACK = 1 << 18  # for each thread: there are as many as held connections
_DATAGRAM = 65535
_BURST = 256  # events taken from one poll
_BACKLOG = 4096
BODY = b"q" * 128  # one small payload; the small reply is the same
_RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the origin listens, on 127.0.0.1."""

    echo: int
    http: int
    bulk: int
    udp: int


class Origin:
    """The servers, from construction to `stop`."""

    def __init__(self) -> None:
        echo, http, bulk = _listener(), _listener(), _listener()
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        udp.bind(("127.0.0.1", 0))
        sockets = (echo, http, bulk, udp)
        self.ports = Ports(*(sock.getsockname()[1] for sock in sockets))
        serve = (_serve_echo, _serve_http, _serve_bulk, _serve_udp)
        self._children = [_spawn(*pair) for pair in zip(serve, sockets, strict=True)]
        for sock in sockets:
            sock.close()

    def stop(self) -> None:
        """End the servers."""
        for child in self._children:
            child.kill()
            child.join()

    @property
    def pids(self) -> list[int]:
        """The process ids of the servers."""
        return [child.pid for child in self._children if child.pid is not None]


def _listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)


def _spawn(serve: Callable[[socket.socket], None], sock: socket.socket) -> BaseProcess:
    child = get_context("fork").Process(target=_child, args=(serve, sock), daemon=True)
    child.start()
    return child


def _child(serve: Callable[[socket.socket], None], sock: socket.socket) -> None:
    sandbox.die_with_parent()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the parent's handler came along with the fork
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when the bench is over
    serve(sock)


def _serve_echo(listener: socket.socket) -> None:
    _serve_small(listener, lambda data: data)


def _serve_http(listener: socket.socket) -> None:
    """One response for each request. A proxy sends so short a head in one piece."""
    _serve_small(listener, lambda data: _RESPONSE * data.count(b"\r\n\r\n"))


def _serve_small(listener: socket.socket, answer: Callable[[bytes], bytes]) -> None:
    """Answer every read. The messages are so small that a send never blocks."""
    listener.setblocking(False)
    poll = select.epoll()
    poll.register(listener.fileno(), select.EPOLLIN)
    clients: dict[int, socket.socket] = {}
    while True:
        for fd, _ in poll.poll(maxevents=_BURST):
            client = clients.get(fd)
            if client is None:
                _accept_all(listener, poll, clients)
            elif not _answer_once(client, answer):
                del clients[fd]
                client.close()


def _accept_all(listener: socket.socket, poll: select.epoll, clients: dict[int, socket.socket]) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        clients[client.fileno()] = client
        poll.register(client.fileno(), select.EPOLLIN)


def _answer_once(client: socket.socket, answer: Callable[[bytes], bytes]) -> bool:
    try:
        data = client.recv(_DATAGRAM)
        reply = answer(data)
        return bool(data) and client.send(reply) == len(reply)
    except OSError:
        return False


def _serve_bulk(listener: socket.socket) -> None:
    threading.stack_size(_STACK)
    while True:
        client, _ = listener.accept()
        threading.Thread(target=_bulk_client, args=(client,), daemon=True).start()


def _bulk_client(client: socket.socket) -> None:
    with client:
        try:
            operation, length = _head(client)
            while operation == PART:
                _send_bulk(client, length)
                operation, length = _head(client)
            if operation == DOWNLOAD:
                _send_bulk(client, length)
            else:
                _receive_bulk(client, length)
        except (OSError, struct.error):
            return  # the load side counts what is missing


def _head(client: socket.socket) -> tuple[bytes, int]:
    operation, length = HEAD.unpack(client.recv(HEAD.size, socket.MSG_WAITALL))
    return operation, length


def _send_bulk(client: socket.socket, length: int) -> None:
    chunk = memoryview(bytes(_CHUNK))
    while length:
        part = chunk[: min(length, _CHUNK)]
        client.sendall(part)
        length -= len(part)


def _receive_bulk(client: socket.socket, length: int) -> None:
    scratch = bytearray(_CHUNK)
    while length > 0:
        got = client.recv_into(scratch)
        if not got:
            return
        length -= got
    client.sendall(b"\x01")


def _serve_udp(sock: socket.socket) -> None:
    scratch = memoryview(bytearray(_DATAGRAM))
    while True:
        size, source = sock.recvfrom_into(scratch)
        try:
            sock.sendto(scratch[:size], source)
        except OSError:
            continue  # a client that has gone
