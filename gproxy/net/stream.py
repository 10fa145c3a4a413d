"""A stream socket, TCP or unix, as a Stream."""

from __future__ import annotations

import contextlib
import socket as consts
import struct
from _socket import socket

from gproxy.base.address import Address, parse_ip
from gproxy.base.defaults import READ_CHUNK
from gproxy.base.errors import StreamClosed
from gproxy.base.iface import Buffer, Record
from gproxy.net.oserror import closed
from gproxy.rt.sockets import READ, WRITE, Readiness

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class SocketStream:
    """A connected, non-blocking stream socket. It tries first and waits second."""

    __slots__ = ("_ended", "_readable", "_shut", "_sock", "_writable")

    def __init__(self, sock: socket) -> None:
        self._sock: socket | None = sock
        self._readable: Readiness | None = None
        self._writable: Readiness | None = None
        self._ended = False
        self._shut = False

    def recv(self) -> bytes:
        """See Stream."""
        while True:
            sock = self._sock
            if sock is None:
                raise StreamClosed("closed here", reason="local")
            if self._ended:
                return b""
            try:
                data = sock.recv(READ_CHUNK)
            except BlockingIOError:
                self._wait_readable(sock)
                continue
            except OSError as error:
                raise closed(error) from error
            if not data:
                self._ended = True
            return data

    def _wait_readable(self, sock: socket) -> None:
        if self._readable is None:
            self._readable = Readiness(sock.fileno(), READ)
        self._readable.wait()

    def sendall(self, data: Buffer, /) -> None:
        """See Stream."""
        sent = self._send(data)
        if sent == len(data):
            return
        with memoryview(data) as view:
            while sent < len(view):
                sent += self._send(view[sent:])

    def _send(self, data: Buffer) -> int:
        """Send some of it, waiting until that is possible; nothing of nothing."""
        while True:
            sock = self._sock
            if sock is None or self._shut:
                raise StreamClosed("closed here", reason="local")
            try:
                return sock.send(data)
            except BlockingIOError:
                if self._writable is None:
                    self._writable = Readiness(sock.fileno(), WRITE)
                self._writable.wait()
            except OSError as error:
                raise closed(error) from error

    def close_write(self) -> None:
        """See Stream."""
        if self._sock is not None and not self._shut:
            self._shut = True
            with contextlib.suppress(OSError):  # the peer may be gone already, which is what we wanted to say
                self._sock.shutdown(consts.SHUT_WR)

    def close(self) -> None:
        """See Stream."""
        sock, self._sock = self._sock, None
        if sock is None:
            return
        for readiness in (self._readable, self._writable):
            if readiness is not None:
                readiness.wake(StreamClosed("closed here", reason="local"))
                readiness.close()
        self._readable = self._writable = None
        with contextlib.suppress(OSError):  # Linux has freed the descriptor even when close reports an error
            sock.close()

    def abort(self) -> None:
        """See Stream: a TCP peer gets a reset."""
        if self._sock is not None:
            with contextlib.suppress(OSError):  # a socket that is dead already needs no reset
                self._sock.setsockopt(consts.SOL_SOCKET, consts.SO_LINGER, _RESET_ON_CLOSE)
            self.close()

    def take(self) -> bytes:
        """See Stream: nothing is read ahead here."""
        return b""

    def bare(self) -> int | None:
        """See Stream."""
        return self._sock.fileno() if self._sock is not None and not self._ended and not self._shut else None

    def record(self) -> Record | None:
        """See Stream: nothing is sealed here."""
        return None

    def held(self) -> bool:
        """See Stream."""
        return False

    def set_option(self, level: int, name: int, value: bytes) -> None:
        """As `socket.setsockopt`. Raises OSError."""
        if self._sock is None:
            raise OSError("the socket is closed")
        self._sock.setsockopt(level, name, value)

    def bound(self) -> Address | None:
        """See Stream: None for unix sockets."""
        if self._sock is None or self._sock.family == consts.AF_UNIX:
            return None
        try:
            name = self._sock.getsockname()
        except OSError:
            return None
        return Address(parse_ip(name[0]), name[1])
