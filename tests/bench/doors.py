"""The ways through a proxy to an origin, as the load generator sees them."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

Kind = Literal["socks5", "direct", "connect", "forward"]
Step = tuple[bytes, Callable[[bytearray], bool]]  # what to send, and whether the answer is whole

_GREETING = b"\x05\x01\x00"  # RFC 1928: version 5, one method, no authentication
_LOOPBACK = socket.inet_aton("127.0.0.1")
_REPLY_LENGTH = {1: 10, 4: 22}  # by address type
_REPLY_HEAD = 5
_HEAD_END = b"\r\n\r\n"
_TIMEOUT = 20.0  # seconds


class Talk(Protocol):
    """What a client says on one connection."""

    steps: list[Step]
    """Up to and including one payload that comes back: an echo, or the body of a response."""

    def again(self) -> Step:
        """One more payload there and back."""

    def farewell(self) -> bytes:
        """What is said before the connection is closed; empty if the end of the stream says it all."""


class Way(Protocol):
    """Where a client connects to on 127.0.0.1, and what it says there."""

    @property
    def port(self) -> int:
        """The proxy's port."""

    def talk(self, payload: bytes) -> Talk:
        """A conversation for a new connection."""


class PlainTalk:
    """A Talk that goes on as it has begun."""

    def __init__(self, steps: list[Step]) -> None:
        self.steps = steps

    def again(self) -> Step:
        """See Talk."""
        return self.steps[-1]

    def farewell(self) -> bytes:
        """See Talk."""
        return b""


class Declined(OSError):
    """The proxy said no, or something that is not its protocol."""


@dataclass(frozen=True, slots=True)
class Door:
    """A proxy's port on 127.0.0.1 and, unless it is fixed, the port behind it that is asked for (see Way)."""

    kind: Kind
    port: int
    target: int

    def talk(self, payload: bytes) -> PlainTalk:
        """See Way."""
        return PlainTalk(self.steps(payload))

    def steps(self, payload: bytes) -> list[Step]:
        """See Talk. The last step can be repeated as often as wanted."""
        if self.kind == "forward":
            return [(_get(self.target), lambda got: _ok(got) and got.endswith(payload))]
        size = len(payload)
        return [*self._handshake(), (payload, lambda got: len(got) >= size)]

    def _handshake(self) -> list[Step]:
        if self.kind == "direct":
            return []
        if self.kind == "connect":
            return [(_connect(self.target), lambda got: _ok(got) and got.endswith(_HEAD_END))]
        return [(_GREETING, _method_chosen), (_request(1, self.target), _replied)]

    def connect(self) -> socket.socket:
        """A blocking stream to the target. Raises OSError."""
        sock = socket.create_connection(("127.0.0.1", self.port), _TIMEOUT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        converse(sock, self._handshake())
        return sock

    def associate(self) -> tuple[socket.socket | None, socket.socket, bytes]:
        """The control connection if there is one, a connected datagram socket, and the header each datagram needs."""
        packets = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        packets.bind(("127.0.0.1", 0))
        if self.kind == "direct":
            packets.connect(("127.0.0.1", self.port))
            return None, packets, b""
        control = socket.create_connection(("127.0.0.1", self.port), _TIMEOUT)
        reply = converse(control, [(_GREETING, _method_chosen), (_request(3, 0), _replied)])
        packets.connect(("127.0.0.1", int.from_bytes(reply[-2:], "big")))
        return control, packets, b"\x00\x00\x00\x01" + _LOOPBACK + struct.pack("!H", self.target)


def converse(sock: socket.socket, steps: list[Step]) -> bytes:
    """Walk through `steps` on a blocking socket; return the last answer. Raises OSError."""
    got = bytearray()
    for send, whole in steps:
        got.clear()
        sock.sendall(send)
        while not whole(got):
            data = sock.recv(65536)
            if not data:
                raise Declined("closed during the handshake")
            got += data
    return bytes(got)


def _request(command: int, port: int) -> bytes:
    host = _LOOPBACK if port else bytes(4)
    return b"\x05" + bytes([command]) + b"\x00\x01" + host + struct.pack("!H", port)


def _connect(port: int) -> bytes:
    return f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()


def _get(port: int) -> bytes:
    """What curl sends to a proxy. Proxy-Connection is no standard, but some proxies hang up without it."""
    lines = (f"GET http://127.0.0.1:{port}/ HTTP/1.1", f"Host: 127.0.0.1:{port}", "Proxy-Connection: keep-alive")
    return "\r\n".join(lines).encode() + _HEAD_END


def _ok(got: bytearray) -> bool:
    """Whether the status line is there. Raises Declined if it says anything but 200."""
    if len(got) < 12:
        return False
    if not got.startswith(b"HTTP/1.1 200"):
        raise Declined(f"{bytes(got[:40])!r}")
    return True


def _method_chosen(got: bytearray) -> bool:
    if len(got) < 2:
        return False
    if got != b"\x05\x00":
        raise Declined(f"method reply {got.hex()}")
    return True


def _replied(got: bytearray) -> bool:
    if len(got) < _REPLY_HEAD:
        return False
    if got[1] != 0:
        raise Declined(f"reply code {got[1]}")
    return len(got) >= _REPLY_LENGTH.get(got[3], 7 + got[4])
