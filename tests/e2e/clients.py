"""Clients that say exactly what a test wants said, in plain blocking sockets."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.ports import LOOPBACK

PATIENCE = 20.0
Target = tuple[str, int]


class Refused(Exception):
    """The proxy said no; `code` is what it said, -1 if it just closed."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def connect(port: int | str, host: str = LOOPBACK) -> socket.socket:
    """A connection to a port, or to a unix socket by its path (abstract with a leading NUL)."""
    if isinstance(port, str):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(PATIENCE)
        try:
            sock.connect(port)
        except OSError:
            sock.close()
            raise
        return sock
    return socket.create_connection((host, port), PATIENCE)


def exactly(sock: socket.socket, size: int) -> bytes:
    """So many bytes, fewer only if the peer ends before."""
    data = b""
    while len(data) < size and (piece := sock.recv(size - len(data))):
        data += piece
    return data


def everything(sock: socket.socket) -> bytes:
    """All that comes until the peer ends; a reset counts as an end."""
    data = b""
    try:
        while piece := sock.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data


def say(port: int | str, data: bytes, *, end: bool = True) -> bytes:
    """Connect, say this, end if asked to, and hear the proxy out."""
    with connect(port) as sock:
        try:
            sock.sendall(data)
            if end:
                sock.shutdown(socket.SHUT_WR)
        except OSError:  # it has heard enough
            pass
        return everything(sock)


def packed(target: Target) -> bytes:
    """A SOCKS5 address: IPv4, IPv6 or, if it is neither, a domain."""
    host, port = target
    for kind, family in ((1, socket.AF_INET), (4, socket.AF_INET6)):
        try:
            return bytes([kind]) + socket.inet_pton(family, host) + struct.pack("!H", port)
        except OSError:
            continue
    name = host.encode()
    return bytes([3, len(name)]) + name + struct.pack("!H", port)


def socks5_request(target: Target, command: int = 1) -> bytes:
    """What a client without a password says in all."""
    return b"\x05\x01\x00" + b"\x05" + bytes([command]) + b"\x00" + packed(target)


def _reply5(sock: socket.socket) -> Target:
    code = exactly(sock, 2)[1:]
    if code != b"\0":
        raise Refused(code[0] if code else -1)
    kind = exactly(sock, 2)[1]
    packed_host = exactly(sock, 16 if kind == 4 else 4)
    host = socket.inet_ntop(socket.AF_INET6 if kind == 4 else socket.AF_INET, packed_host)
    return host, struct.unpack("!H", exactly(sock, 2))[0]


def socks5(
    port: int | str, target: Target, user: tuple[str, str] | None = None, *, command: int = 1, host: str = LOOPBACK
) -> tuple[socket.socket, Target]:
    """Ask a SOCKS5 server; the open stream and the address that it told. Raises Refused."""
    sock = connect(port, host)
    try:
        sock.sendall(b"\x05\x01\x02" if user else b"\x05\x01\x00")
        if exactly(sock, 2) != (b"\x05\x02" if user else b"\x05\x00"):
            raise Refused(255)
        if user:
            name, password = (text.encode() for text in user)
            sock.sendall(bytes([1, len(name)]) + name + bytes([len(password)]) + password)
            if exactly(sock, 2) != b"\x01\x00":
                raise Refused(254)
        sock.sendall(b"\x05" + bytes([command]) + b"\x00" + packed(target))
        return sock, _reply5(sock)
    except BaseException:
        sock.close()
        raise


def tunnel(port: int | str, target: Target, user: tuple[str, str] | None = None) -> socket.socket:
    """A stream to `target` through a SOCKS5 server. Raises Refused."""
    return socks5(port, target, user)[0]


class Association:
    """A SOCKS5 UDP association, with one local socket."""

    def __init__(self, port: int, user: tuple[str, str] | None = None) -> None:
        self.control, self.relay = socks5(port, ("0.0.0.0", 0), user, command=3)
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.settimeout(PATIENCE)
        self.sock.bind((LOOPBACK, 0))

    def send(self, payload: bytes, target: Target) -> None:
        """One datagram to `target`."""
        self.sock.sendto(b"\0\0\0" + packed(target) + payload, self.relay)

    def receive(self) -> tuple[bytes, bytes]:
        """The next answer, and who it is from, as `packed` has it."""
        data = self.sock.recv(65535)
        assert data[:3] == b"\0\0\0", data[:20]
        size = {1: 7, 3: 4 + data[4], 4: 19}[data[3]]
        return data[3 + size :], data[3 : 3 + size]

    def ask(self, payload: bytes, target: Target) -> bytes:
        """There and back, from the very address that was asked."""
        self.send(payload, target)
        answer, source = self.receive()
        assert source == packed(target), source
        return answer

    def close(self) -> None:
        """Leave."""
        self.control.close()
        self.sock.close()


@contextmanager
def association(port: int, user: tuple[str, str] | None = None) -> Iterator[Association]:
    """An association for a `with` block."""
    opened = Association(port, user)
    try:
        yield opened
    finally:
        opened.close()
