"""The client's side of Trojan over TLS 1.3: Python's `ssl`, the same for all servers, each of which proves its name.

Where many connections are made at once, TLS is done between the epoll of `load` and the Trojan request, in memory.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Protocol

from tests.bench import origin
from tests.bench.certificate import NAME
from tests.bench.doors import Declined, Step, Way
from tests.bench.load import Client

PASSWORD = "password"
_TIMEOUT = 20.0  # seconds
_CONNECT, _IPV4 = 1, 1
_PIECE = 1 << 20
_READ = 1 << 16
_ZEROS = bytes(_PIECE)  # what the origin sends


class Opens(Protocol):
    """Whatever has a stream to the origin behind it."""

    def connect(self) -> socket.socket:
        """A blocking stream to the target. Raises OSError."""


@dataclass(frozen=True, slots=True)
class TlsDoor:
    """A Trojan server's port, the port behind it that is asked for, and the certificate to trust (see Way, Opens)."""

    port: int
    target: int
    certificate: str

    @property
    def request(self) -> bytes:
        """The head before the first payload (https://trojan-gfw.github.io/trojan/protocol)."""
        secret = hashlib.sha224(PASSWORD.encode()).hexdigest().encode()
        address = bytes([_CONNECT, _IPV4]) + socket.inet_aton("127.0.0.1") + self.target.to_bytes(2, "big")
        return secret + b"\r\n" + address + b"\r\n"

    def connect(self) -> ssl.SSLSocket:
        """See Opens."""
        stream = context(self.certificate).wrap_socket(self._tcp(), server_hostname=NAME)
        try:
            stream.sendall(self.request)
        except BaseException:
            stream.close()
            raise
        return stream

    def talk(self, payload: bytes) -> TlsTalk:
        """See Way: an echo."""
        return TlsTalk(self, Noted(), payload, payload)

    def probe(self) -> None:
        """An echo, whole. Raises OSError."""
        self.session()

    def session(self) -> ssl.SSLSession:
        """What a connection may be resumed with, from one with an echo. Raises OSError."""
        with self.connect() as stream:
            stream.sendall(origin.BODY)
            answer = b""
            while len(answer) < len(origin.BODY):
                got = stream.recv(_READ)
                if not got:
                    raise Declined("closed before the answer")
                answer += got
            if answer != origin.BODY:
                raise Declined("not what was sent")
            session = stream.session
        if session is None or not session.has_ticket:
            raise Declined("no ticket")
        return session

    def _tcp(self) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.port), _TIMEOUT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock


@dataclass(frozen=True, slots=True)
class HeldDoor:
    """A Way to the origin's bulk server: each answer but the first is `size` bytes, and the connection stays open."""

    door: TlsDoor
    size: int

    @property
    def port(self) -> int:
        """See Way."""
        return self.door.port

    def talk(self, payload: bytes) -> TlsTalk:
        """See Way. As many bytes come back as the payload has."""
        size = len(payload)
        return TlsTalk(self.door, Noted(), _part(size), bytes(size), (_part(self.size), self.size))


def _part(size: int) -> bytes:
    return origin.HEAD.pack(origin.PART, size)


@cache
def context(certificate: str) -> ssl.SSLContext:
    """TLS 1.3 and nothing else, to servers with this certificate (a file)."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.load_verify_locations(certificate)
    return made


@dataclass(slots=True)
class Noted:
    """What became of connections that were opened; all times are seconds since connect()."""

    session: ssl.SSLSession | None = None  # all shall resume this one
    handshakes: list[float] = field(default_factory=list)  # until the server had proved itself
    answers: list[float] = field(default_factory=list)  # until the first byte of the reply
    failed: int = 0


class TlsTalk:
    """A Talk (see there): the handshake, then `request`, to which the answer must be `answer`.

    `more`: what is said for one more answer, and how many zeros that is; the same once more if there is nothing.
    """

    def __init__(
        self, door: TlsDoor, noted: Noted, request: bytes, answer: bytes, more: tuple[bytes, int] | None = None
    ) -> None:
        self._noted = noted
        self._first = door.request + request
        self._more = more
        self._again = request
        self._answer = answer
        self._plain = bytearray()
        self._heard, self._said = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context(door.certificate).wrap_bio(
            self._heard, self._said, server_hostname=NAME, session=noted.session
        )
        with suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()
        self.steps: list[Step] = [(self._said.read(), self._proved), (b"", self._answered)]  # what is said comes later
        self._started = time.perf_counter()
        self._noting = True

    def again(self) -> Step:
        """See Talk."""
        if self._more is None:
            return self._sealed(self._again), self._answered
        said, size = self._more
        self._answer = _ZEROS[:size]
        return self._sealed(said), self._answered

    def farewell(self) -> bytes:
        """See Talk: the alert close_notify (RFC 8446, 6.1)."""
        with suppress(ssl.SSLError):  # the server's own is not waited for
            self._tls.unwrap()
        return self._said.read()

    def _sealed(self, data: bytes) -> bytes:
        self._tls.write(data)
        return self._said.read()

    def _proved(self, got: bytearray) -> bool:
        """Take what has come in the handshake; True when that is over."""
        self._take(got)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            if self._said.pending:
                raise Declined("the server wants another hello") from None
            return False
        if self._noted.session is not None and not self._tls.session_reused:
            raise Declined("the session was not resumed")
        self._noted.handshakes.append(time.perf_counter() - self._started)
        self.steps[1] = self._sealed(self._first), self._answered
        return True

    def _answered(self, got: bytearray) -> bool:
        """Take what has come of an answer; tickets are none. Raises Declined."""
        self._take(got)
        with suppress(ssl.SSLWantReadError):
            while data := self._tls.read(_READ):
                self._note_answer()
                self._plain += data
        if len(self._plain) < len(self._answer):
            return False
        if self._plain != self._answer:
            raise Declined("not what was sent")
        self._plain.clear()
        return True

    def _note_answer(self) -> None:
        if self._noting:
            self._noting = False
            self._noted.answers.append(time.perf_counter() - self._started)

    def _take(self, got: bytearray) -> None:
        self._heard.write(got)
        got.clear()


@dataclass(slots=True)
class _NotedDoor:
    """A Way whose talks are noted."""

    door: TlsDoor
    noted: Noted

    @property
    def port(self) -> int:
        return self.door.port

    def talk(self, payload: bytes) -> TlsTalk:
        return TlsTalk(self.door, self.noted, payload, payload)


def connections(client: Client, door: TlsDoor, count: int, at_once: int, resumed: bool = False) -> Noted:
    """As Client.connections, each with a handshake of its own: a full one, or one that resumes the same session."""
    noted = Noted(door.session() if resumed else None)
    way: Way = _NotedDoor(door, noted)
    noted.failed = client.connections(way, count, at_once).failed
    noted.session = None  # it can't leave this process
    return noted


def download(_client: Client, door: Opens, total: int) -> float:
    """Receive `total` bytes and the end; return the seconds. Raises OSError if one is missing or another one."""
    started = time.perf_counter()
    left = total
    with door.connect() as stream:
        stream.sendall(origin.HEAD.pack(origin.DOWNLOAD, total))
        while data := stream.recv(_READ):
            left -= len(data)
            if not _ZEROS.startswith(data):
                raise Declined("not what the origin has sent")
    if left:
        raise Declined(f"{left} of {total} bytes are missing")
    return time.perf_counter() - started


def upload(_client: Client, door: Opens, total: int) -> float:
    """Send `total` bytes; return the seconds till the origin has read all. Raises OSError."""
    started = time.perf_counter()
    with door.connect() as stream:
        stream.sendall(origin.HEAD.pack(origin.UPLOAD, total))
        for _ in range(total // _PIECE):
            stream.sendall(_ZEROS)
        stream.sendall(_ZEROS[: total % _PIECE])
        if stream.recv(1) != b"\x01":
            raise Declined("the origin did not get it all")
    return time.perf_counter() - started
