"""The client's side of Shadowsocks: what it says is sealed beforehand, what it hears is counted, and a sample opened.

So the load costs little beside the proxy, and is the same for all of them.
"""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag

from tests.bench import origin
from tests.bench.doors import Declined, Step, converse
from tests.bench.load import Client, Datagrams, echo_datagrams
from tests.support.shadowsocks import TAG, Key, Packets, Request, address

_PIECE = 1 << 20
_TIMEOUT = 20.0  # seconds
_SAMPLE = 1 << 17  # bytes of a download that are opened: several chunks
_SPARE = 4  # times the window: datagrams that are sealed for lost ones
_GARBAGE = 256  # different datagrams
_GARBAGE_SOURCES = 16


@dataclass(frozen=True, slots=True)
class SealedDoor:
    """A Shadowsocks server's port, and the port behind it that is asked for (see Way)."""

    key: Key
    port: int
    target: int

    def talk(self, payload: bytes) -> SealedTalk:
        """See Way."""
        return SealedTalk(self.request(payload), payload)

    def request(self, payload: bytes) -> Request:
        """A request with its first payload."""
        padding = b"" if payload else b"\0"
        return Request(self.key, address("127.0.0.1", self.target), payload, padding=padding)

    def probe(self) -> None:
        """An echo, whole. Raises OSError."""
        with self.connect() as sock:
            converse(sock, self.talk(origin.BODY).steps)

    def connect(self) -> socket.socket:
        """A blocking connection on which nothing was said yet. Raises OSError."""
        sock = socket.create_connection(("127.0.0.1", self.port), _TIMEOUT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock


class SealedTalk:
    """A Talk (see there) with an echo. The first answer is opened, of the others the length has to do."""

    def __init__(self, request: Request, payload: bytes) -> None:
        self._request = request
        self._payload = payload
        self._first = request.answer_size(len(payload))
        self.steps: list[Step] = [(request.first, self._answered)]

    def again(self) -> Step:
        """See Talk."""
        size = 2 + TAG + len(self._payload) + TAG
        return self._request.more(self._payload), lambda got: len(got) >= size

    def farewell(self) -> bytes:
        """See Talk."""
        return b""

    def _answered(self, got: bytearray) -> bool:
        if len(got) < self._first:
            return False
        if opened(self._request, bytes(got)) != self._payload:
            raise Declined("not what was sent")
        return True


def opened(request: Request, answer: bytes) -> bytes:
    """The payload of an answer, as far as it is whole. Raises Declined."""
    try:
        return request.answer().feed(answer)
    except (InvalidTag, AssertionError) as error:
        raise Declined("an answer that was made with another key, or to another request") from error


def download(_client: Client, door: SealedDoor, total: int) -> None:
    """Receive `total` bytes and the end. Raises OSError if any is missing."""
    request = door.request(origin.HEAD.pack(origin.DOWNLOAD, total))
    scratch = memoryview(bytearray(_PIECE))
    sample = b""
    received = 0
    with door.connect() as sock:
        sock.sendall(request.first)
        while got := sock.recv_into(scratch):
            received += got
            if len(sample) < _SAMPLE:
                sample += scratch[:got]
    if received < total:
        raise Declined(f"{total - received} bytes are missing")
    if opened(request, sample[:_SAMPLE]).strip(b"\0"):
        raise Declined("not what the origin has sent")


def upload(_client: Client, door: SealedDoor, total: int) -> None:
    """Send `total` bytes, and wait till the origin has read all. Raises OSError."""
    request = door.request(origin.HEAD.pack(origin.UPLOAD, total))
    whole, rest = divmod(total, _PIECE)
    pieces = [request.more(bytes(_PIECE)) for _ in range(whole)] + [request.more(bytes(rest))]
    with door.connect() as sock:
        sock.sendall(request.first)
        for piece in pieces:
            sock.sendall(piece)
        answer = b""
        while len(answer) < request.answer_size(1):
            got = sock.recv(_PIECE)
            if not got:
                raise Declined("the origin did not get it all")
            answer += got
    if opened(request, answer) != b"\x01":
        raise Declined("the origin did not get it all")


class Sender:
    """A client of one address that has packets sealed in store."""

    def __init__(self, door: SealedDoor, size: int, count: int) -> None:
        self._packets = Packets(door.key)
        self._target = address("127.0.0.1", door.target)
        self._payload = bytes(size)
        self._probe = self._seal()  # before the others: packets of 2022 are numbered, and old numbers are not taken
        self._store = [self._seal() for _ in range(count)]
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.connect(("127.0.0.1", door.port))
        self.socket.settimeout(_TIMEOUT)

    def datagrams(self) -> Iterator[bytes]:
        """What is in store, then new ones."""
        return itertools.chain(self._store, iter(self._seal, b""))

    def check(self) -> None:
        """One packet there and back, opened. Raises Declined."""
        self.socket.send(self._probe)
        try:
            _, payload = self._packets.open(self.socket.recv(65535))
        except (InvalidTag, AssertionError) as error:
            raise Declined("a packet that was made with another key") from error
        if payload != self._payload:
            raise Declined("not what was sent")

    def _seal(self) -> bytes:
        return self._packets.seal(self._target, self._payload)


def datagrams(_client: Client, door: SealedDoor, count: int, size: int, clients: int, window: int) -> Datagrams:
    """Echo `count` datagrams of `size` bytes from `clients` addresses, `window` in flight on each. Raises OSError."""
    each = count // clients + _SPARE * window
    senders = [Sender(door, size, each) for _ in range(clients)]
    try:
        for sender in senders:
            sender.check()
        return echo_datagrams([(sender.socket, sender.datagrams()) for sender in senders], count, window)
    finally:
        for sender in senders:
            sender.socket.close()


def flood(_client: Client, door: SealedDoor, count: int, size: int, window: int) -> int:
    """Send `count` datagrams of garbage from several addresses, and after each `window` of them a good one.

    A good one is waited for, so that no buffer overflows. Return how many there were; raises OSError if one is lost.
    """
    garbage = itertools.cycle([os.urandom(size) for _ in range(_GARBAGE)])
    sources = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(_GARBAGE_SOURCES)]
    good = count // window
    sender = Sender(door, size, good)
    packets = sender.datagrams()
    try:
        turns = itertools.cycle(sources)
        for source in sources:
            source.connect(("127.0.0.1", door.port))
        for _ in range(good):
            for source in itertools.islice(turns, window):
                source.send(next(garbage))
            sender.socket.send(next(packets))
            sender.socket.recv(65535)
    finally:
        for source in (*sources, sender.socket):
            source.close()
    return good
