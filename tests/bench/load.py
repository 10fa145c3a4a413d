"""The clients. One process, plain sockets, the same for every proxy; the proxy's CPU is what is counted."""

from __future__ import annotations

import select
import socket
import time
from dataclasses import dataclass, field

from tests.bench import origin
from tests.bench.doors import Declined, Door, Step

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
class _Talk:
    sock: socket.socket
    started: float
    step: int = 0
    got: bytearray = field(default_factory=bytearray)


class Client:
    """Every kind of load; it may hold connections open between calls."""

    def __init__(self) -> None:
        self._held: list[socket.socket] = []
        self._exchange: Step = (origin.BODY, bool)

    def connections(self, door: Door, count: int, at_once: int, keep: bool = False) -> Opened:
        """Open `count` connections, `at_once` at a time: handshake, one exchange, and close (or keep) each."""
        opening = _Opening(door, count, at_once, self._held if keep else None)
        self._exchange = door.steps(origin.BODY)[-1]
        return opening.run()

    def exchange(self, count: int) -> int:
        """Make `count` exchanges over all the held connections at once; return how many were answered."""
        request, whole = self._exchange
        talks = {sock.fileno(): (sock, bytearray()) for sock in self._held}
        sent = min(count, len(self._held))
        done = 0
        with _poll(self._held) as poll:
            for sock in self._held[:sent]:
                sock.send(request)
            while done < sent and (events := poll.poll(_STALL, _BURST)):
                for fd, _ in events:
                    sock, got = talks[fd]
                    got += _received(sock)
                    if whole(got):
                        got.clear()
                        done += 1
                        if sent < count:
                            sent += 1
                            sock.send(request)
        return done

    def alive(self) -> int:
        """How many of the held connections still echo."""
        count = 0
        for sock in self._held:
            sock.settimeout(_STALL)
            try:
                sock.sendall(origin.BODY)
                count += len(sock.recv(len(origin.BODY), socket.MSG_WAITALL)) == len(origin.BODY)
            except OSError:
                continue
        return count

    def release(self) -> int:
        """Close the held connections; return how many there were."""
        count = len(self._held)
        for sock in self._held:
            sock.close()
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
            return _echo_datagrams([packets for _, packets, _ in pairs], pairs[0][2] + bytes(size), count, window)
        finally:
            for control, packets, _ in pairs:
                packets.close()
                if control is not None:
                    control.close()


class _Opening:
    """Many conversations at once on one epoll."""

    def __init__(self, door: Door, count: int, at_once: int, keep: list[socket.socket] | None) -> None:
        self._port = door.port
        self._steps: list[Step] = door.steps(origin.BODY)
        self._left = count
        self._at_once = at_once
        self._keep = keep
        self._poll = select.epoll()
        self._talks: dict[int, _Talk] = {}
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
            try:
                sock.connect(("127.0.0.1", self._port))
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.send(self._steps[0][0])
            except OSError:
                self._result.failed += 1
                sock.close()
                continue
            self._talks[sock.fileno()] = _Talk(sock, started)
            self._poll.register(sock.fileno(), select.EPOLLIN)

    def _advance(self, fd: int, talk: _Talk) -> None:
        try:
            over = self._next_step(talk)
        except OSError:
            self._result.failed += 1
            self._drop(fd, talk)
            return
        if not over:
            return
        if self._keep is None:
            self._drop(fd, talk)
        else:
            del self._talks[fd]
            self._poll.unregister(fd)
            self._keep.append(talk.sock)

    def _next_step(self, talk: _Talk) -> bool:
        """Take what has come; True when the last step is over."""
        data = talk.sock.recv(_DATAGRAM)
        if not data:
            raise Declined("closed")
        last = talk.step == len(self._steps) - 1
        if last and not talk.got:
            self._result.latencies.append(time.perf_counter() - talk.started)
        talk.got += data
        if not self._steps[talk.step][1](talk.got):
            return False
        if last:
            return True
        talk.step += 1
        talk.got.clear()
        talk.sock.send(self._steps[talk.step][0])
        return False

    def _drop(self, fd: int, talk: _Talk) -> None:
        del self._talks[fd]
        talk.sock.close()


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


def _echo_datagrams(socks: list[socket.socket], datagram: bytes, count: int, window: int) -> Datagrams:
    by_fd = {sock.fileno(): sock for sock in socks}
    result = Datagrams()
    scratch = bytearray(_DATAGRAM)
    started = time.perf_counter()
    silences = 0
    with _poll(socks) as poll:
        result.sent = sum(_send_many(sock, datagram, window) for sock in socks)
        while result.received < count:
            events = poll.poll(_LOST_AFTER, _BURST)
            for fd, _ in events:
                got = _drain(by_fd[fd], scratch)
                result.received += got
                result.sent += _send_many(by_fd[fd], datagram, got)
            silences = 0 if events else silences + 1
            if silences > _SILENCES:
                raise Declined(f"{result.received} of {result.sent} datagrams came back")
            if silences:  # all that were in flight are lost
                result.sent += sum(_send_many(sock, datagram, window) for sock in socks)
    result.seconds = time.perf_counter() - started
    return result


def _send_many(sock: socket.socket, datagram: bytes, count: int) -> int:
    for sent in range(count):
        try:
            sock.send(datagram)
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
