"""One UDP socket whose datagrams are answered one by one, without sessions."""

from __future__ import annotations

import errno
import logging
from _socket import socket
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol

from gproxy.base.defaults import DATAGRAM_BURST, QUERIES_IN_WORK
from gproxy.base.iface import Later, Soon
from gproxy.limit.bucket import TokenBucket
from gproxy.rt.crew import launch
from gproxy.rt.sockets import READ, call_soon, watch

_log = logging.getLogger("gproxy.net.answering")

_DEAD: Final = frozenset({errno.EBADF, errno.ENOTSOCK})

# Longer questions are cut off here, and so can't be read.
_LONGEST: Final = 4096

# Drops are told of so often, in seconds.
_SAY_EVERY: Final = 10.0


class Keeper(Protocol):
    """Stands around everything that is done for the socket's clients: nothing is raised out of it."""

    def burst(self, run: Callable[[], None]) -> None:
        """Run in the hub what reads and answers some datagrams."""

    def later(self, find: Later) -> bytes:
        """Find the answer to a datagram that takes longer; nothing if that went wrong."""

    def counted(self, answered: int, dropped: int, received: int, sent: int) -> None:
        """So many datagrams were answered, or had none to be given; so many were dropped; so many bytes each way."""


class Answering:
    """Reads the socket in bursts. It stays its owner's: stopping leaves it open, and what is in work is answered."""

    def __init__(
        self,
        sock: socket,
        answer: Callable[[bytes, Any], bytes | Later],
        keeper: Keeper,
        most: int = QUERIES_IN_WORK,
    ) -> None:
        """`answer`: see QueryEntrance. `most`: how many are in work at once; more are dropped."""
        self._sock = sock
        self._answer = answer
        self._keeper = keeper
        self._most = most
        self._working = 0
        self._ready: list[tuple[Later, Any]] = []
        self._found: list[tuple[bytes, Any]] = []
        self._watcher = watch(sock.fileno(), READ)
        self._stopped = False
        self._dropped = 0  # since that was told last
        self._say = TokenBucket(1 / _SAY_EVERY, 1)

    def start(self) -> None:
        """Begin to read, or begin again after a stop."""
        if self._stopped:
            self._stopped = False
            self._watcher = watch(self._sock.fileno(), READ)
        self._watcher.start(self._keeper.burst, self._burst)

    def stop(self) -> None:
        """Read no more. Idempotent."""
        if not self._stopped:
            self._stopped = True
            self._watcher.stop()
            self._watcher.close()

    def __len__(self) -> int:
        """How many are in work."""
        return self._working + len(self._found)

    def _burst(self) -> None:
        """Answers leave together at the end: each that left by itself would wake its receiver anew."""
        receive, answer = self._sock.recvfrom, self._answer
        answers: list[tuple[bytes, Any]] = []
        received = count = 0
        try:
            for _ in range(DATAGRAM_BURST):
                try:
                    data, name = receive(_LONGEST)
                except BlockingIOError:
                    break
                except OSError as error:
                    if error.errno in _DEAD:
                        self.stop()
                        break
                    continue  # an ICMP error for some earlier answer
                count += 1
                received += len(data)
                said = answer(data, name)
                if not isinstance(said, bytes):
                    count -= 1
                    self._begin(said, name)
                elif said:
                    answers.append((said, name))
        finally:
            sent = 0
            for said, name in answers:
                sent += self._send(said, name)
            if count:
                self._keeper.counted(count, 0, received, sent)

    def _send(self, said: bytes, name: Any) -> int:
        """How many bytes were sent: an answer that can't leave now is lost, as datagrams are."""
        try:
            return self._sock.sendto(said, name)
        except OSError:
            return 0

    def _begin(self, find: Later, name: Any) -> None:
        if self._working >= self._most:
            self._dropped += 1
            self._keeper.counted(0, 1, 0, 0)
            if self._say.take():
                _log.warning("%d questions were dropped: %d are in work", self._dropped, self._most)
                self._dropped = 0
            return
        self._working += 1
        if not (isinstance(find, Soon) and find.soon(partial(self._found_soon, find, name))):
            launch(self._one, find, name)

    def _found_soon(self, find: Later, name: Any) -> None:
        """It can be had without waiting now; all that can be at this turn of the hub is."""
        if not self._ready:
            call_soon(self._take)
        self._ready.append((find, name))

    def _take(self) -> None:
        ready, self._ready = self._ready, []
        self._working -= len(ready)
        later = self._keeper.later
        self._found += [(later(find), name) for find, name in ready]
        self._flush()

    def _one(self, find: Later, name: Any) -> None:
        try:
            said = self._keeper.later(find)
        finally:
            self._working -= 1
        if not self._found:
            call_soon(self._flush)
        self._found.append((said, name))

    def _flush(self) -> None:
        """Answers that were found at the same turn of the hub leave together, too."""
        found, self._found = self._found, []
        sent = 0
        for said, name in found:
            if said:
                sent += self._send(said, name)
        if found:
            self._keeper.counted(len(found), 0, 0, sent)
