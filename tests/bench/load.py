"""The clients. One process, plain sockets, the same for every proxy; the proxy's CPU is what is counted."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import repeat

from tests.bench import origin
from tests.bench.doors import Declined, Door, Talk, Way, converse

_STALL = 10.0  # seconds without any event: the rest is counted as lost
_LOST_AFTER = 0.5  # seconds without any datagram: those in flight are counted as lost
_SILENCES = 6  # in a row: nothing comes back at all
_DATAGRAM = 65535
_BURST = 256


@dataclass(slots=True)
class Opened:
    """What became of connections that were opened."""

    latencies: list[float] = field(default_factory=list)  # seconds from connect() to the first byte of the reply
    failed: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Datagrams:
    """What became of datagrams that were echoed."""

    sent: int = 0
    received: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class _Opened:
    sock: socket.socket
    talk: Talk
    started: float
    step: int = 0
    got: bytearray = field(default_factory=bytearray)


class Client:
    """Every kind of load; it may hold connections open between calls."""

    def __init__(self) -> None:
        self._held: list[tuple[socket.socket, Talk]] = []

    def connections(self, door: Way, count: int, at_once: int, keep: bool = False) -> Opened:
        """Open `count` connections, `at_once` at a time: handshake, one exchange, and close (or keep) each."""
        return _Opening(door, count, at_once, self._held if keep else None).run()

    def exchange(self, count: int) -> int:
        """Make `count` exchanges over all the held connections at once; return how many were answered."""
        held = {sock.fileno(): _Held(sock, talk) for sock, talk in self._held}
        sent = min(count, len(held))
        done = 0
        with _poll([sock for sock, _ in self._held]) as poll:
            for each in list(held.values())[:sent]:
                each.ask()
            while done < sent and (events := poll.poll(_STALL, _BURST)):
                for fd, _ in events:
                    each = held[fd]
                    if each.answered():
                        done += 1
                        if sent < count:
                            sent += 1
                            each.ask()
        return done

    def alive(self) -> int:
        """How many of the held connections still echo."""
        count = 0
        for sock, talk in self._held:
            sock.settimeout(_STALL)
            try:
                converse(sock, [talk.again()])
            except OSError:
                continue
            count += 1
        return count

    def release(self) -> int:
        """Close the held connections; return how many there were."""
        count = len(self._held)
        for sock, talk in self._held:
            _leave(sock, talk)
        self._held.clear()
        return count

    def download(self, door: Door, total: int, size: int) -> float:
        """Receive `total` bytes with reads of `size`; return the seconds. Raises OSError if any is missing."""
        started = time.perf_counter()
        with door.connect() as sock:
            sock.sendall(origin.HEAD.pack(origin.DOWNLOAD, total))
            scratch = bytearray(size)
            left = total
            while left:
                got = sock.recv_into(scratch)
                if not got:
                    raise Declined(f"{left} bytes are missing")
                left -= got
        return time.perf_counter() - started

    def upload(self, door: Door, total: int, size: int) -> float:
        """Send `total` bytes with writes of `size`; return the seconds till the origin has read all. Raises OSError."""
        started = time.perf_counter()
        with door.connect() as sock:
            sock.sendall(origin.HEAD.pack(origin.UPLOAD, total))
            chunk = bytes(size)
            for _ in range(total // size):
                sock.sendall(chunk)
            sock.sendall(chunk[: total % size])
            if sock.recv(1) != b"\x01":
                raise Declined("the origin did not get it all")
        return time.perf_counter() - started

    def datagrams(self, door: Door, count: int, size: int, clients: int, window: int) -> Datagrams:
        """Echo `count` datagrams of `size` bytes over `clients` associations, `window` in flight on each."""
        pairs = [door.associate() for _ in range(clients)]
        try:
            datagrams = repeat(pairs[0][2] + bytes(size))
            return echo_datagrams([(packets, datagrams) for _, packets, _ in pairs], count, window)
        finally:
            for control, packets, _ in pairs:
                packets.close()
                if control is not None:
                    control.close()


class _Held:
    """A held connection that is asked again and again."""

    def __init__(self, sock: socket.socket, talk: Talk) -> None:
        self._sock = sock
        self._talk = talk
        self._got = bytearray()
        self._whole: Callable[[bytearray], bool] = bool

    def ask(self) -> None:
        request, self._whole = self._talk.again()
        self._sock.send(request)

    def answered(self) -> bool:
        """Take what has come; whether that makes the answer whole."""
        self._got += _received(self._sock)
        if not self._whole(self._got):
            return False
        self._got.clear()
        return True


class _Opening:
    """Many conversations at once on one epoll."""

    def __init__(self, door: Way, count: int, at_once: int, keep: list[tuple[socket.socket, Talk]] | None) -> None:
        self._door = door
        self._left = count
        self._at_once = at_once
        self._keep = keep
        self._poll = select.epoll()
        self._talks: dict[int, _Opened] = {}
        self._result = Opened()

    def run(self) -> Opened:
        started = time.perf_counter()
        with self._poll:
            self._refill()
            while self._talks and (events := self._poll.poll(_STALL, _BURST)):
                for fd, _ in events:
                    self._advance(fd, self._talks[fd])
                self._refill()
        self._result.failed += len(self._talks)  # only after a stall
        for talk in self._talks.values():
            talk.sock.close()
        self._result.seconds = time.perf_counter() - started
        return self._result

    def _refill(self) -> None:
        while self._left and len(self._talks) < self._at_once:
            self._left -= 1
            started = time.perf_counter()
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            sock.settimeout(_STALL)
            talk = self._door.talk(origin.BODY)
            try:
                sock.connect(("127.0.0.1", self._door.port))
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.send(talk.steps[0][0])
            except OSError:
                self._result.failed += 1
                sock.close()
                continue
            self._talks[sock.fileno()] = _Opened(sock, talk, started)
            self._poll.register(sock.fileno(), select.EPOLLIN)

    def _advance(self, fd: int, talk: _Opened) -> None:
        try:
            over = self._next_step(talk)
        except OSError:
            self._result.failed += 1
            self._drop(fd, talk)
            return
        if not over:
            return
        del self._talks[fd]
        if self._keep is None:
            _leave(talk.sock, talk.talk)
        else:
            self._poll.unregister(fd)
            self._keep.append((talk.sock, talk.talk))

    def _next_step(self, talk: _Opened) -> bool:
        """Take what has come; True when the last step is over."""
        data = talk.sock.recv(_DATAGRAM)
        if not data:
            raise Declined("closed")
        steps = talk.talk.steps
        last = talk.step == len(steps) - 1
        if last and not talk.got:
            self._result.latencies.append(time.perf_counter() - talk.started)
        talk.got += data
        if not steps[talk.step][1](talk.got):
            return False
        if last:
            return True
        talk.step += 1
        talk.got.clear()
        talk.sock.send(steps[talk.step][0])
        return False

    def _drop(self, fd: int, talk: _Opened) -> None:
        del self._talks[fd]
        talk.sock.close()


def _leave(sock: socket.socket, talk: Talk) -> None:
    """Close a connection whose conversation is over."""
    with sock, suppress(OSError):  # the other side may have gone
        if said := talk.farewell():
            sock.send(said)


def _poll(socks: list[socket.socket]) -> select.epoll:
    poll = select.epoll()
    for sock in socks:
        sock.setblocking(False)
        poll.register(sock.fileno(), select.EPOLLIN)
    return poll


def _received(sock: socket.socket) -> bytes:
    data = sock.recv(_DATAGRAM)
    if not data:
        raise Declined("closed between two requests")
    return data


def echo_datagrams(ways: list[tuple[socket.socket, Iterator[bytes]]], count: int, window: int) -> Datagrams:
    """Have `count` datagrams echoed: over each socket those that its iterator gives, `window` of them in flight."""
    by_fd = {sock.fileno(): (sock, datagrams) for sock, datagrams in ways}
    result = Datagrams()
    scratch = bytearray(_DATAGRAM)
    started = time.perf_counter()
    silences = 0
    with _poll([sock for sock, _ in ways]) as poll:
        result.sent = sum(_send_many(sock, datagrams, window) for sock, datagrams in ways)
        while result.received < count:
            events = poll.poll(_LOST_AFTER, _BURST)
            for fd, _ in events:
                sock, datagrams = by_fd[fd]
                got = _drain(sock, scratch)
                result.received += got
                result.sent += _send_many(sock, datagrams, got)
            silences = 0 if events else silences + 1
            if silences > _SILENCES:
                raise Declined(f"{result.received} of {result.sent} datagrams came back")
            if silences:  # all that were in flight are lost
                result.sent += sum(_send_many(sock, datagrams, window) for sock, datagrams in ways)
    result.seconds = time.perf_counter() - started
    return result


def _send_many(sock: socket.socket, datagrams: Iterator[bytes], count: int) -> int:
    for sent in range(count):
        try:
            sock.send(next(datagrams))
        except BlockingIOError:
            return sent
    return count


def _drain(sock: socket.socket, scratch: bytearray) -> int:
    count = 0
    try:
        while True:
            sock.recv_into(scratch)
            count += 1
    except BlockingIOError:
        return count
