r"""UDP flows that outlive the plane which reads their socket.

When a new plane takes over a socket, the old one keeps its flows: their upstream ports must not change. Both are joined
by a link, one for each socket. The new plane sends down the datagrams of the old one's clients; the old one tells which
clients it has done with. Answers leave from the socket itself, which both have.

    +--------+-----------------------+------------------+
    | length | name of the client    | datagram         |   old → new: mostly without a datagram
    +--------+-----------------------+------------------+
    | 1      | host, port, … by \x1f | rest             |
    +--------+-----------------------+------------------+
"""

from __future__ import annotations

import contextlib
import socket as consts
from _socket import socket, socketpair
from collections.abc import Callable
from typing import Any

from gproxy.base.defaults import DATAGRAM_BURST, MAX_DATAGRAM
from gproxy.base.iface import Buffer
from gproxy.rt.sockets import READ, watch

_SEPARATOR = "\x1f"
_LARGEST = MAX_DATAGRAM + 256

Name = tuple[Any, ...]


def pack(name: Name, data: Buffer = b"") -> bytes:
    """A frame of the link."""
    text = _SEPARATOR.join(map(str, name)).encode()
    return bytes((len(text),)) + text + data


def unpack(frame: bytes) -> tuple[Name, bytes]:
    """The client's name as the kernel gives it, and the datagram."""
    end = 1 + frame[0]
    host, *numbers = frame[1:end].decode().split(_SEPARATOR)
    return (host, *map(int, numbers)), frame[end:]


def make_link() -> tuple[socket, socket]:
    """Both ends of a new link. Raises OSError."""
    return socketpair(consts.AF_UNIX, consts.SOCK_SEQPACKET | consts.SOCK_NONBLOCK)


class Link:
    """One end. `heard` is called in the hub with each frame's parts; `gone` when the other plane is over."""

    def __init__(self, sock: socket, heard: Callable[[Name, bytes], None], gone: Callable[[], None]) -> None:
        sock.setblocking(False)
        self._sock: socket | None = sock
        self._heard = heard
        self._gone = gone
        self._watcher = watch(sock.fileno(), READ)
        self._watcher.start(self._read)

    def fileno(self) -> int:
        """To hand it on. -1 when closed."""
        return -1 if self._sock is None else self._sock.fileno()

    def say(self, name: Name, data: Buffer = b"") -> None:
        """Send a frame. What does not fit now is lost, as datagrams are."""
        if self._sock is not None:
            with contextlib.suppress(OSError):
                self._sock.send(pack(name, data))

    def _read(self) -> None:
        for _ in range(DATAGRAM_BURST):
            if self._sock is None:
                return
            try:
                frame = self._sock.recv(_LARGEST)
            except BlockingIOError:
                return
            except OSError:
                frame = b""
            if not frame:
                self.close()
                self._gone()
                return
            self._heard(*unpack(frame))

    def close(self) -> None:
        """Idempotent."""
        sock, self._sock = self._sock, None
        if sock is not None:
            self._watcher.stop()
            self._watcher.close()
            sock.close()
