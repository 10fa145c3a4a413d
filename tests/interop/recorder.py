"""Stands between a client and a server, and remembers what the client said."""

from __future__ import annotations

import socket
import threading
from types import TracebackType

from tests.support.ports import LOOPBACK, free_port

_PIECE = 65536
_PATIENCE = 20.0


class Recorder:
    """A relay to a port of ours, for TCP and UDP at the same port, as a context.

    `streams` is what each connection has sent so far, `answers` what it was sent, `packets` each datagram that a client
    has sent; `ended` counts the connections of which neither side says more.
    """

    def __init__(self, server: int) -> None:
        self._server = (LOOPBACK, server)
        self.port = free_port()
        self.streams: list[bytearray] = []
        self.answers: list[bytearray] = []
        self.packets: list[bytes] = []
        self._over = 0
        self._listener = socket.create_server((LOOPBACK, self.port))
        self._datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._datagrams.bind((LOOPBACK, self.port))
        self._open: list[socket.socket] = [self._listener, self._datagrams]
        for work in (self._accept, self._forward_packets):
            threading.Thread(target=work, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._server)
            self._open += [near, far]
            record, answer = bytearray(), bytearray()
            self.streams.append(record)
            self.answers.append(answer)
            threading.Thread(target=self._copy, args=(near, far, record), daemon=True).start()
            threading.Thread(target=self._copy, args=(far, near, answer), daemon=True).start()

    @property
    def ended(self) -> int:
        """See the class."""
        return self._over // 2

    def _copy(self, source: socket.socket, to: socket.socket, record: bytearray) -> None:
        _copy(source, to, record)
        self._over += 1

    def _forward_packets(self) -> None:
        """One client at a time: answers go to the one that has sent last."""
        out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        out.connect(self._server)
        self._open.append(out)
        client: list[tuple[str, int]] = []
        threading.Thread(target=self._return_packets, args=(out, client), daemon=True).start()
        while True:
            try:
                data, source = self._datagrams.recvfrom(_PIECE)
                if source is None:  # shut down
                    return
                client[:] = [source]
                self.packets.append(data)
                out.send(data)
            except OSError:
                return

    def _return_packets(self, out: socket.socket, client: list[tuple[str, int]]) -> None:
        while True:
            try:
                data = out.recv(_PIECE)
                if not data:  # shut down
                    return
                self._datagrams.sendto(data, client[0])
            except OSError:
                return

    def close(self) -> None:
        """End the relay and what goes through it."""
        for each in self._open:
            try:
                each.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits on it
            except OSError:
                pass
            each.close()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _copy(source: socket.socket, to: socket.socket, record: bytearray) -> None:
    try:
        while data := source.recv(_PIECE):
            record += data
            to.sendall(data)
        to.shutdown(socket.SHUT_WR)
    except OSError:
        return
