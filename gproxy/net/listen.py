"""Listening stream sockets: accept in bursts, pause when there is no room or descriptors run out."""

from __future__ import annotations

import errno
import logging
import socket as consts
from _socket import socket
from collections.abc import Callable
from typing import Any

from gproxy.base.defaults import ACCEPT_BACKOFF, ACCEPT_BACKOFF_CEILING, ACCEPT_BURST
from gproxy.limit.room import Room
from gproxy.net.stream import SocketStream
from gproxy.rt.crew import launch
from gproxy.rt.sockets import READ, Timer, watch

_log = logging.getLogger("gproxy.net.listen")

_STREAM = consts.SOCK_STREAM | consts.SOCK_NONBLOCK

# These mean that this process or this machine has no room; the connection waits in the queue meanwhile.
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

Serve = Callable[[SocketStream, Any], None]
"""Called in a greenlet of its own with the stream and the kernel's name of the peer. It must not raise.

It gives back the place that the client has in the listener's room.
"""


class StreamListener:
    """One listening socket. The socket stays its owner's: stopping leaves it open, with its queue."""

    def __init__(self, sock: socket, serve: Serve, room: Room | None = None) -> None:
        self._sock = sock
        self._family = sock.family
        self._serve = serve
        self._room = room or Room()
        self._watcher = watch(sock.fileno(), READ)
        self._pause: Timer | None = None
        self._backoff = ACCEPT_BACKOFF
        self._stopped = False

    def start(self) -> None:
        """Begin to accept, or begin again after a stop."""
        if self._stopped:
            self._stopped = False
            self._watcher = watch(self._sock.fileno(), READ)
        self._watcher.start(self._burst)

    def stop(self) -> None:
        """Accept no more: idempotent."""
        if not self._stopped:
            self._stopped = True
            self._watcher.stop()
            self._watcher.close()
            if self._pause is not None:
                self._pause.stop()
                self._pause = None

    def pause(self) -> None:
        """Accept no more until `resume`; clients wait in the queue."""
        self._watcher.stop()

    def resume(self) -> None:
        """The end of a pause. A listener that was stopped meanwhile stays so."""
        if not self._stopped and not self._watcher.active:
            self._watcher.start(self._burst)

    def _burst(self) -> None:
        room = self._room
        for _ in range(ACCEPT_BURST):
            if room.taken >= room.most:
                self.pause()
                room.wait(self.resume)
                return
            try:
                fd, name = self._sock._accept()  # type: ignore[attr-defined]
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _NO_ROOM:
                    self._rest(error)
                    return
                continue  # this one connection died in the queue (accept(2): treat network errors like EAGAIN)
            self._backoff = ACCEPT_BACKOFF
            room.taken += 1
            sock = socket(self._family, _STREAM, 0, fd)
            sock.setblocking(False)
            launch(self._serve, SocketStream(sock), name)

    def _rest(self, error: OSError) -> None:
        """Look away for a while: the socket stays readable, and asking again at once would only burn the CPU."""
        _log.warning("accepting pauses for %.2f s: %s", self._backoff, error.strerror)
        self.pause()
        self._pause = Timer(self._backoff, self._rested)
        self._backoff = min(self._backoff * 2, ACCEPT_BACKOFF_CEILING)

    def _rested(self) -> None:
        self._pause = None
        self.resume()
