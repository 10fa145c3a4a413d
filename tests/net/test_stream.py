"""What SocketStream promises beyond a Stream; the rest is in tests/conformance/test_streams.py."""

from __future__ import annotations

import errno
from _socket import socket, socketpair
from ipaddress import IPv4Address

import pytest

from gproxy.base.address import Address
from gproxy.base.defaults import READ_CHUNK
from gproxy.base.errors import StreamClosed
from gproxy.net.stream import SocketStream
from tests.conformance.streams import tcp_pair, unix_pair

pytestmark = pytest.mark.usefixtures("no_leaks")


class Broken:
    """A socket whose calls fail in one way."""

    family = 2

    def __init__(self, code: int) -> None:
        self._code = code

    def recv(self, size: int) -> bytes:
        raise OSError(self._code, "broken")

    def send(self, data: bytes) -> int:
        raise OSError(self._code, "broken")

    def shutdown(self, how: int) -> None:
        raise OSError(self._code, "broken")

    def setsockopt(self, *args: object) -> None:
        raise OSError(self._code, "broken")

    def getsockname(self) -> object:
        raise OSError(self._code, "broken")

    def close(self) -> None:
        raise OSError(self._code, "broken")

    def fileno(self) -> int:
        return -1


@pytest.mark.parametrize(
    ("code", "reason"), [(errno.ECONNRESET, "reset"), (errno.EPIPE, "reset"), (errno.ETIMEDOUT, "timeout")]
)
def test_the_systems_errors_become_the_houses(code: int, reason: str) -> None:
    stream = SocketStream(Broken(code))  # type: ignore[arg-type]
    with pytest.raises(StreamClosed) as caught:
        stream.recv()
    assert caught.value.reason == reason
    with pytest.raises(StreamClosed) as caught:
        stream.sendall(b"x")
    assert caught.value.reason == reason


def test_ends_are_quiet_whatever_the_system_says() -> None:
    stream = SocketStream(Broken(errno.ENOTCONN))  # type: ignore[arg-type]
    assert stream.bound() is None
    stream.close_write()
    stream.abort()
    stream.close()


def test_one_read_is_bounded() -> None:
    near, far = socketpair()
    near.setblocking(False)
    far.setblocking(True)
    stream = SocketStream(near)
    far.send(bytes(READ_CHUNK + 1))
    assert len(stream.recv()) <= READ_CHUNK
    stream.close()
    far.close()


def test_it_is_bare_only_while_both_directions_are_open() -> None:
    near, far = unix_pair()
    assert near.bare() is not None
    far.close_write()
    assert near.bare() is not None
    assert near.recv() == b""
    assert near.bare() is None
    assert far.bare() is None
    near.close()
    far.close()


def test_bound_is_our_own_address() -> None:
    near, far = tcp_pair()
    bound = near.bound()
    assert isinstance(bound, Address)
    assert bound.host == IPv4Address("127.0.0.1")
    assert bound != far.bound()
    near.close()
    assert near.bound() is None
    far.close()


def test_no_watcher_is_made_where_nobody_waits() -> None:
    near, far = unix_pair()
    far.sendall(b"x")
    assert near.recv() == b"x"
    near.sendall(b"y")
    assert near._readable is None
    assert near._writable is None
    near.close()
    far.close()


def test_the_descriptor_is_free_at_once() -> None:
    near, far = unix_pair()
    fd = near.bare()
    near.close()
    again = socket(1, 1)
    assert again.fileno() == fd
    again.close()
    far.close()
