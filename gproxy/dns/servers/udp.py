"""`udp`: a server that is asked by datagrams, and by TCP for answers that don't fit into one.

Who is not on the way can't see where an answer is expected, and has to guess it: the id, the case of each letter of the
name, and the port. Each question goes out by one of a few sockets, chosen at random, whose ports the kernel has chosen
at random and which are soon replaced. A fresh one for each would cost four system calls more and leave as many
ports to be guessed. Too many wrong guesses at a socket end it, and what it has asked is asked by TCP.
"""

from __future__ import annotations

import errno
import logging
import socket as consts
from _socket import socket
from functools import partial
from os import urandom
from typing import Final, Protocol

from gproxy.base.address import IP, Address
from gproxy.base.clock import now
from gproxy.base.defaults import DATAGRAM_BURST, MAX_DATAGRAM
from gproxy.base.errors import DialError, DialReason, GproxyError, StreamClosed
from gproxy.base.iface import Buffer, Dialer, Lookup, PacketConn, Stream
from gproxy.base.session import Session
from gproxy.dns.iface import Ask, ServerWiring
from gproxy.dns.servers.asked import (
    answers,
    answers_alike,
    fail,
    is_bare_error,
    is_truncated,
    mixed,
    own_session,
    question_of,
    settled,
)
from gproxy.dns.servers.pipelined import Pool
from gproxy.dns.servers.remote import Remote
from gproxy.net import sockopt
from gproxy.net.direct import SystemDialer
from gproxy.net.shared import SharedDial
from gproxy.net.tcp import SocketOptions
from gproxy.rt.crew import launch
from gproxy.rt.sockets import READ, Gate, Readiness, Timer, call_soon
from gproxy.schema.registry import Row

RESEND: Final = (1.0, 2.0)
"""After how many seconds without an answer a question is sent again, and again."""

MOST_WAITING: Final = 8192
"""Questions under way; further ones fail. A dead server holds up as many as come within its askers' deadlines."""

MOST_WRONG: Final = 64
"""Wrong answers at one socket that are passed over; late ones, to questions that were sent twice, are among them."""

_SOCKETS: Final = 8
_QUESTIONS: Final = 32  # of each
_SOCKET_FOR: Final = 5.0  # seconds

# What a proxy has for a socket costs a round trip or more, and its port is the proxy's, so it is kept for longer.
_PROXIED: Final = 2
_QUESTIONS_PROXIED: Final = 1024
_PROXIED_FOR: Final = 60.0

_QUIET: Final = 60.0  # seconds between two warnings
_TICK: Final = 0.25
_NAMES_FOR: Final = 30.0  # how long the addresses of the server's name are kept, at most
_scratch = bytearray(MAX_DATAGRAM)
_view = memoryview(_scratch)

_log = logging.getLogger("gproxy.dns")


class UdpOptions(Remote):
    """A server that is asked by UDP."""


class _Query:
    """One question under way, on every line that it was sent by."""

    __slots__ = ("answer", "by_stream", "due", "gate", "lines", "message", "question", "sent", "session", "why")

    def __init__(self, ask: Ask, question: bytes) -> None:
        self.question = mixed(question)
        self.message = b"%b%b%b" % (ask.message[2:12], self.question, ask.message[12 + len(question) :])
        self.session = ask.session
        self.lines: list[tuple[_Line, int]] = []
        self.gate = Gate()
        self.sent = 0
        self.due = 0.0
        self.answer = b""
        self.by_stream = False
        self.why: GproxyError | None = None


class _Line(Protocol):
    """A socket, or what a proxy has for one, that questions are sent by."""

    queries: dict[int, _Query]
    left: int  # how many questions may still be sent by it
    until: float  # and until when
    wrong: int

    def send(self, message: bytes) -> None:
        """Raises DialError."""

    def close(self) -> None:
        """Idempotent."""


class UdpServer:
    """See Server."""

    cacheable = True
    waits = True

    def __init__(self, server: Address, via: Dialer, lookup: Lookup, who: str) -> None:
        """`lookup` finds the server's own addresses, if it is called by a name and asked without a proxy."""
        self.server = server
        self.mismatches = 0
        """Wrong answers that have come so far."""
        self.who = who
        self._via = via
        self._lookup = lookup
        self._slots: list[_Line | None] = [None] * (_SOCKETS if isinstance(via, SystemDialer) else _PROXIED)
        self._retired: list[_Line] = []  # which still wait for answers
        self._queries: dict[_Query, None] = {}
        self._outgoing: list[tuple[_SocketLine, bytes]] = []
        self._addresses: tuple[IP, ...] = () if isinstance(server.host, str) else (server.host,)
        self._addresses_until = 0.0
        self._turn = 0
        self._quiet_until = 0.0
        self._shared = SharedDial()
        self._closed = False
        self._timer: Timer | None = None
        self._streams = Pool(self._connect, who)

    def exchange(self, ask: Ask, /) -> bytes:
        """See Server."""
        if len(self._queries) >= MOST_WAITING:
            fail(self.who, "too many questions are under way")
        question = question_of(ask)
        query = _Query(ask, question)
        self._queries[query] = None
        try:
            self._send(query)
            query.gate.wait()
        except (DialError, StreamClosed) as error:
            fail(self.who, error)
        finally:
            self._forget(query)
        if query.by_stream:
            return self._streams.exchange(ask)
        if query.why is not None:
            fail(self.who, query.why)
        return settled(query.answer, question)

    def knows(self, name: str, /) -> bool:
        """See Server: it is one for all names."""
        return False

    def close(self) -> None:
        """See Server."""
        self._closed = True
        for line in self._lines():
            line.close()
        self._slots = [None] * len(self._slots)
        self._retired.clear()
        self._stop()
        for query in list(self._queries):
            query.why = StreamClosed("closed here", reason="local")
            query.gate.open()
        self._streams.close()

    # -- out ----------------------------------------------------------------------------------------------------------

    def _send(self, query: _Query) -> None:
        """Send the question, by another line than before. Raises DialError and StreamClosed."""
        line = self._line(query)
        queries = line.queries
        number = int.from_bytes(urandom(2), "big")
        while number in queries:
            number = int.from_bytes(urandom(2), "big")
        queries[number] = query
        query.lines.append((line, number))
        line.left -= 1
        query.due = now() + (RESEND[query.sent] if query.sent < len(RESEND) else float("inf"))
        query.sent += 1
        line.send(number.to_bytes(2, "big") + query.message)
        if self._timer is None:
            self._timer = Timer(_TICK, self._tick, repeat=True)

    def _line(self, query: _Query) -> _Line:
        slot = urandom(1)[0] % len(self._slots)
        return self._usable(slot, query) or self._shared.get(
            partial(self._usable, slot, query), partial(self._fill, slot, query.session)
        )

    def _usable(self, slot: int, query: _Query) -> _Line | None:
        line = self._slots[slot]
        if line is None or not line.left or line.until <= now() or any(line is used for used, _ in query.lines):
            return None
        return line

    def _fill(self, slot: int, session: Session) -> _Line:
        line = self._new_line(session)
        if self._closed:
            line.close()
            raise StreamClosed("closed here", reason="local")
        replaced, self._slots[slot] = self._slots[slot], line
        if replaced is not None:
            self._retire(replaced)
        return line

    def _retire(self, line: _Line) -> None:
        if line.queries:
            self._retired.append(line)
        else:
            line.close()

    def _new_line(self, session: Session) -> _Line:
        """Raises DialError."""
        via = self._via
        if isinstance(via, SystemDialer):
            addresses = self._whereabouts(session)
            self._turn += 1
            return _SocketLine(self, via.sockets, addresses[self._turn % len(addresses)])
        return _PacketLine(self, via.dial_packet(self.server, own_session(session, "udp", self.server)))

    def _whereabouts(self, session: Session) -> tuple[IP, ...]:
        host = self.server.host
        if isinstance(host, str) and now() >= self._addresses_until:
            self._addresses = self._lookup(host, own_session(session, "udp", self.server))
            self._addresses_until = now() + _NAMES_FOR
        return self._addresses

    def _connect(self, session: Session) -> Stream:
        return self._via.dial(self.server, own_session(session, "tcp", self.server))

    def post(self, line: _SocketLine, message: bytes) -> None:
        """Send what this turn of the hub asks when it is over, all in a row.

        A server that is woken for each has often gone back to sleep when the next one comes: a fifth of the CPU.
        """
        self._outgoing.append((line, message))
        if len(self._outgoing) == 1:
            call_soon(self._flush)

    def _flush(self) -> None:
        """In the hub."""
        outgoing, self._outgoing = self._outgoing, []
        for line, message in outgoing:
            try:
                line.send_now(message)
            except DialError as error:
                self.broken(line, error)

    # -- in -----------------------------------------------------------------------------------------------------------

    def take(self, line: _Line, data: bytes) -> None:
        """What has come from the server's address. It may be called in the hub."""
        query = line.queries.get(int.from_bytes(data[:2], "big")) if len(data) >= 12 else None
        if query is not None and answers(data, query.question):
            if is_truncated(data):
                query.by_stream = True
            else:
                query.answer = data
            self._settle(query)
            return
        self.mismatches += 1
        line.wrong += 1
        if query is not None and (answers_alike(data, query.question) or is_bare_error(data)):
            # A server that does not keep the case, or could not read it, or a guess that is nearly right. TCP tells.
            self._say("an answer in other letters, or without the question; asking by TCP")
            query.by_stream = True
            self._settle(query)
        elif line.wrong >= MOST_WRONG:
            self._flee(line)

    def broken(self, line: _Line, why: GproxyError) -> None:
        """Nothing more will come by this line."""
        self._drop(line)
        for query in list(line.queries.values()):
            query.why = why
            self._settle(query)

    def _flee(self, line: _Line) -> None:
        """Somebody guesses: what was asked by this line is asked by TCP."""
        self._say("too many wrong answers from its address, as if somebody guessed; asking by TCP meanwhile")
        self._drop(line)
        for query in list(line.queries.values()):
            query.by_stream = True
            self._settle(query)

    def _say(self, what: str) -> None:
        """Log it, unless something was said lately: a flood must not make another one."""
        if now() >= self._quiet_until:
            self._quiet_until = now() + _QUIET
            _log.warning("DNS server %s: %s", self.who, what)

    def _drop(self, line: _Line) -> None:
        self._slots = [None if each is line else each for each in self._slots]
        self._retired = [each for each in self._retired if each is not line]
        line.close()

    def _settle(self, query: _Query) -> None:
        self._forget(query)
        query.gate.open()

    def _forget(self, query: _Query) -> None:
        self._queries.pop(query, None)
        for line, number in query.lines:
            if line.queries.get(number) is query:
                del line.queries[number]
        query.lines.clear()

    # -- time ---------------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        """In the hub, while there are lines: send again what has had no answer, and close what is over."""
        at = now()
        late = [query for query in self._queries if query.due <= at]
        for query in late:
            query.due = float("inf")
            launch(self._send_again, query)
        for slot, line in enumerate(self._slots):
            if line is not None and line.until <= at:
                self._slots[slot] = None
                self._retire(line)
        waiting = []
        for line in self._retired:
            if line.queries:
                waiting.append(line)
            else:
                line.close()
        self._retired = waiting
        if not self._lines() and not self._queries:
            self._stop()

    def _send_again(self, query: _Query) -> None:
        """In a greenlet of its own, since the way may have to be opened anew."""
        if query not in self._queries:
            return
        try:
            self._send(query)
        except (DialError, StreamClosed) as error:
            if query in self._queries:
                query.why = error
                self._settle(query)

    def _lines(self) -> list[_Line]:
        return [*(line for line in self._slots if line is not None), *self._retired]

    def _stop(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.stop()


class _SocketLine:
    """A socket of the system, connected: the kernel drops what others send. What has come is taken in the hub."""

    __slots__ = ("_readable", "_server", "_sock", "left", "queries", "until", "wrong")

    def __init__(self, server: UdpServer, options: SocketOptions, ip: IP) -> None:
        """Raises DialError."""
        self.queries: dict[int, _Query] = {}
        self.left = _QUESTIONS
        self.until = now() + _SOCKET_FOR
        self.wrong = 0
        self._server = server
        self._sock: socket | None = _connected(options, Address(ip, server.server.port))
        self._readable = Readiness(self._sock.fileno(), READ)
        self._readable.call(self._arrived)

    def send(self, message: bytes) -> None:
        """See _Line: at the end of the hub's turn."""
        self._server.post(self, message)

    def send_now(self, message: bytes) -> None:
        """A question that can't be sent now is lost, as datagrams are. Raises DialError."""
        if self._sock is None:
            return
        try:
            try:
                self._sock.send(message)
            except ConnectionRefusedError:  # said of what was sent before, and instead of sending this
                self._sock.send(message)
        except BlockingIOError:
            return
        except OSError as error:
            raise _unreachable(error) from error

    def _arrived(self) -> None:
        for _ in range(DATAGRAM_BURST):
            sock = self._sock
            if sock is None:
                return
            try:
                size = sock.recv_into(_scratch)
            except BlockingIOError:
                return
            except OSError as error:
                self._server.broken(self, _unreachable(error))
                return
            self._server.take(self, bytes(_view[:size]))
            if not self.queries:
                return

    def close(self) -> None:
        """See _Line."""
        sock, self._sock = self._sock, None
        if sock is not None:
            self._readable.close()
            sock.close()


class _PacketLine:
    """What a proxy has for a socket."""

    __slots__ = ("_conn", "_server", "left", "queries", "until", "wrong")

    def __init__(self, server: UdpServer, conn: PacketConn) -> None:
        self.queries: dict[int, _Query] = {}
        self.left = _QUESTIONS_PROXIED
        self.until = now() + _PROXIED_FOR
        self.wrong = 0
        self._server = server
        self._conn = conn
        launch(self._read)

    def send(self, message: bytes) -> None:
        """See _Line."""
        self._conn.send_to(message, self._server.server)

    def _read(self) -> None:
        """In a greenlet of its own."""
        why: GproxyError = StreamClosed("nobody reads it any more", reason="killed")
        try:
            while True:
                data, source = self._conn.recv_from()
                if self._is_server(source):
                    self._server.take(self, _own(data))
                else:
                    self._server.mismatches += 1
        except GproxyError as error:
            why = error
        finally:
            self._server.broken(self, why)

    def _is_server(self, source: Address) -> bool:
        """Whether a datagram is the server's. What address its name has, the proxy alone knows."""
        server = self._server.server
        return source == server or (server.is_domain and source.port == server.port)

    def close(self) -> None:
        """See _Line."""
        self._conn.close()


def _own(data: Buffer) -> bytes:
    return data if type(data) is bytes else bytes(data)


def _unreachable(error: OSError) -> DialError:
    reason: DialReason = "refused" if error.errno == errno.ECONNREFUSED else "unreachable"
    return DialError(str(error.strerror or error), reason=reason)


def _connected(options: SocketOptions, server: Address) -> socket:
    """A UDP socket that hears this server alone. Raises DialError."""
    family = consts.AF_INET if server.host.version == 4 else consts.AF_INET6  # type: ignore[union-attr]
    try:
        sock = options.make(family, consts.SOCK_DGRAM)
        try:
            if options.udp_fragment is not None:
                sockopt.set_udp_fragment(sock, family, options.udp_fragment)
            sock.connect((str(server.host), server.port))
        except BaseException:
            sock.close()
            raise
    except OSError as error:
        raise DialError(f"no way to {server}: {error.strerror or error}", reason="unreachable") from error
    return sock


def _build(options: UdpOptions, wiring: ServerWiring) -> UdpServer:
    return UdpServer(options.address, wiring.via, wiring.lookup, wiring.tag)


SERVER = Row(UdpOptions, _build)
