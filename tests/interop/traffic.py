"""What goes through a proxy with a SOCKS5 port, so that nothing can be lost, swapped or cut without being seen."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.interop.lab import Association, dial
from tests.support.origin import Server, content, digest, tcp_echo, udp_echo
from tests.support.ports import LOOPBACK

MIB = 1 << 20
_AT_ONCE = 50
_PIECE = 1 << 18
_PATIENCE = 20.0


@dataclass(frozen=True)
class Far:
    """What stands behind a proxy: echoes, by IPv4 and by IPv6."""

    tcp: Server
    tcp6: Server
    udp: Server
    udp6: Server


@pytest.fixture
def far(own_network: None) -> Iterator[Far]:
    """The echoes of one test."""
    with ExitStack() as stack:
        servers = [stack.enter_context(make(host)) for make in (tcp_echo, udp_echo) for host in (LOOPBACK, "::1")]
        yield Far(*servers)


def check_streams(port: int, far: Far, size: int) -> None:
    """Every kind of target, `size` bytes each way, and 50 connections at once."""
    for target in ((LOOPBACK, far.tcp.port), ("::1", far.tcp6.port), ("localhost", far.tcp.port)):
        echo(port, target, 1)
    echo(port, (LOOPBACK, far.tcp.port), size)
    at_once(port, (LOOPBACK, far.tcp.port))


def check_datagrams(port: int, far: Far, longest: int) -> None:
    """Datagrams of one to `longest` bytes, and every kind of target."""
    with Association(port) as association:
        for size in (1, 512, 1200, 1472, longest):
            association.echo((LOOPBACK, far.udp.port), next(content(size)))
    for target in (("::1", far.udp6.port), ("localhost", far.udp.port)):
        with Association(port) as association:  # of its own: sing-box keeps to the family of the first target
            association.echo(target)


def echo(port: int, target: tuple[str, int], size: int) -> None:
    """Send `size` bytes to an echo while they come back. Raises AssertionError."""
    with dial(port, target) as stream:
        sender = threading.Thread(target=_send, args=(stream, content(size)), daemon=True)
        sender.start()
        found = _digest_of(stream, size)
        sender.join(_PATIENCE)
    assert found == digest(size)


def at_once(port: int, target: tuple[str, int]) -> None:
    """Fifty connections, all open, each with bytes of its own. Raises AssertionError."""
    payloads = [next(content(1000 + number)) + bytes([number]) for number in range(_AT_ONCE)]
    with ExitStack() as stack:
        streams = []
        for payload in payloads:
            stream = stack.enter_context(dial(port, target))
            stream.sendall(payload)  # at once: a client of Xray's that has to wait for it does as if it were empty
            streams.append(stream)
        for stream, payload in zip(streams, payloads, strict=True):
            assert _read(stream, len(payload)) == payload


def speaks_first(port: int) -> None:
    """A target greets a client that says nothing. Raises AssertionError."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        listener.settimeout(_PATIENCE)
        with dial(port, listener.getsockname()) as near, listener.accept()[0] as there:
            there.sendall(b"welcome")
            assert _read(near, 7) == b"welcome"
            near.sendall(b"thanks")
            assert _read(there, 6) == b"thanks"


def half_closes(port: int) -> str:
    """Which ends go through alone: `both`, `client` (the server can still answer), `server`, or `none`.

    Raises AssertionError if bytes are lost that were sent before an end.
    """
    by_client, by_server = _client_ends_first(port), _server_ends_first(port)
    return {(True, True): "both", (True, False): "client", (False, True): "server"}.get((by_client, by_server), "none")


def _client_ends_first(port: int) -> bool:
    with _pair(port) as (near, far):
        near.sendall(b"question")
        near.shutdown(socket.SHUT_WR)
        assert _read_to_end(far) == b"question"
        return _says(far, near, b"answer")


def _server_ends_first(port: int) -> bool:
    with _pair(port) as (near, far):
        far.sendall(b"question")
        far.shutdown(socket.SHUT_WR)
        assert _read_to_end(near) == b"question"
        return _says(near, far, b"answer")


def _says(speaker: socket.socket, listener: socket.socket, words: bytes) -> bool:
    """Whether words and the end behind them arrive."""
    try:
        speaker.sendall(words)
        speaker.shutdown(socket.SHUT_WR)
        return _read_to_end(listener) == words
    except OSError:  # reset, or hung up before
        return False


class _pair:  # noqa: N801 - a context
    """Both ends of one connection through the proxy."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stack = ExitStack()

    def __enter__(self) -> tuple[socket.socket, socket.socket]:
        with self._stack as stack:
            listener = stack.enter_context(socket.create_server((LOOPBACK, 0)))
            listener.settimeout(_PATIENCE)
            near = stack.enter_context(dial(self._port, listener.getsockname()))
            near.sendall(b"!")  # some send nothing on before they have the first bytes
            far = stack.enter_context(listener.accept()[0])
            far.settimeout(_PATIENCE)
            assert far.recv(1) == b"!"
            self._stack = stack.pop_all()
            return near, far

    def __exit__(self, *_error: object) -> None:
        self._stack.close()


def _read(stream: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (piece := stream.recv(size - len(data))):
        data += piece
    return data


def _read_to_end(stream: socket.socket) -> bytes:
    data = b""
    while piece := stream.recv(_PIECE):
        data += piece
    return data


def _send(stream: socket.socket, pieces: Iterable[bytes]) -> None:
    try:
        for piece in pieces:
            stream.sendall(piece)
    except OSError:
        return  # the reader finds out


def _digest_of(stream: socket.socket, size: int) -> str:
    total = hashlib.sha256()
    while size and (piece := stream.recv(min(size, _PIECE))):
        total.update(piece)
        size -= len(piece)
    return total.hexdigest()
