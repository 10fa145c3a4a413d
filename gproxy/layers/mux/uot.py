"""UDP over TCP, versions 1 and 2, in both roles: datagrams as frames on one stream. Its bytes: gproxy.wire.uot."""

from __future__ import annotations

from collections.abc import Callable

from gproxy.base.address import UNSPECIFIED, Address
from gproxy.base.defaults import HANDSHAKE_TIMEOUT, LINGER, MAX_DATAGRAM
from gproxy.base.errors import CloseReason, DialError, ProtocolError, StreamClosed
from gproxy.base.iface import Buffer, Dispatcher, PacketConn, Reply, Stream
from gproxy.base.session import Session
from gproxy.net.buffered import Buffered
from gproxy.rt.crew import launch
from gproxy.rt.deadline import deadline
from gproxy.rt.sync import Event, sleep
from gproxy.wire import uot
from gproxy.wire.cursor import Cursor, Incomplete

Dial = Callable[[Address, Session], Stream]
"""An outbound's own `dial`."""

# Datagrams that wait for the stream: what comes on top is lost, as in a socket's buffer. One client's full inbox fits.
_MOST_WAITING = 1 << 20

# From so much on the writer gets its turn before more is added: a busy sender may not switch by itself.
_TURN = 64 * 1024


class PacketsOverStream:
    """Datagrams on a stream. Sending never waits for the peer: what the stream does not take in time is lost.

    A writer of its own sends what has gathered since its last turn. So a burst leaves in one piece, and whoever sends
    can be interrupted without leaving half a frame behind. In the client direction the first datagram leaves together
    with the request, and nothing is read before that.
    """

    __slots__ = (
        "_at", "_called", "_closed", "_data", "_head", "_head_of", "_only", "_sending", "_size", "_spoke", "_stream",
        "_waiting",
    )  # fmt: skip

    def __init__(self, stream: Stream, only: Address | None = None, *, request: bytes | None = None) -> None:
        """`only`: all datagrams are this address's. `request`: client direction, what goes before the first frame."""
        self._stream = stream
        self._only = only
        self._data: bytes | bytearray = b""  # what was read; from `_at` on it is not given out yet
        self._at = 0
        self._waiting: list[bytes] = []
        self._size = 0
        self._called = False  # the writer's turn will come
        self._sending = False  # it is the writer's turn
        self._closed: CloseReason | None = None
        self._spoke: Event | None = None
        if request is not None:
            self._spoke = Event()
            self._waiting.append(request)
        # Datagrams come in runs from the same address object, so the last head is kept.
        self._head_of: Address | None = None
        self._head = b""

    @classmethod
    def open(cls, dial: Dial, target: Address, session: Session, version: uot.Version) -> PacketsOverStream:
        """Client direction: datagrams on a stream that `dial` brings. Raises DialError.

        They reach any address; with version 2 and a session whose dial options say `udp_connect`, `target` alone.
        """
        connect = version == 2 and session.dial.udp_connect
        request = uot.encode_request(uot.Request(connect, target)) if version == 2 else b""
        return cls(dial(uot.TARGETS[version], session), target if connect else None, request=request)

    def recv_from(self) -> tuple[Buffer, Address]:
        """See PacketConn. A frame that can't be right ends it as `corrupt`, an end inside a frame as `truncated`."""
        while True:
            if self._closed is not None:
                raise _over(self._closed)
            if self._at < len(self._data):
                cursor = Cursor(self._data, self._at)
                try:
                    address = self._only or uot.decode_address(cursor)
                    payload = uot.decode_connected(cursor)
                except Incomplete:
                    pass
                except ProtocolError as error:
                    self._end("corrupt")
                    raise StreamClosed(f"not UDP over TCP: {error}", reason="corrupt") from error
                else:
                    self._at = cursor.at
                    return payload, address
            self._more()

    def _more(self) -> None:
        """Read more. Whatever interrupts it, nothing is lost."""
        if self._spoke is not None and not self._spoke.is_set():
            self._spoke.wait()
            return
        more = self._stream.recv()
        data, at = self._data, self._at
        if not more:
            raise _over("truncated" if at < len(data) else "eof")
        if at == len(data):
            self._data = more
        elif isinstance(data, bytearray):
            del data[:at]
            data += more
        else:
            self._data = bytearray(data[at:]) + more
        self._at = 0

    def send_to(self, data: Buffer, to: Address, /) -> None:
        """See PacketConn."""
        if self._size > _TURN:
            sleep(0)
        if self._closed is not None:
            raise _over(self._closed)
        size = len(data)
        if size > MAX_DATAGRAM or self._size > _MOST_WAITING or not self._carries(to):
            return
        if self._only is None and to is not self._head_of:
            self._head = uot.encode_address(to)
            self._head_of = to
        self._waiting += (self._head + size.to_bytes(2, "big"), bytes(data))
        self._size += size
        if not (self._called or self._sending):
            self._called = True
            launch(self._write)

    def _carries(self, address: Address) -> bool:
        """Whether datagrams to or from `address` are for this stream. Raises DialError in the client direction.

        In the server direction, what answers may be an address of the domain that was asked for.
        """
        only = self._only
        if only is None or address == only:
            return True
        if self._spoke is not None:
            raise DialError(f"{address}: these datagrams are for {only} alone", reason="unreachable")
        return only.is_domain

    def _write(self) -> None:
        """The writer's turn. It is called from the hub, so it never raises."""
        self._called, self._sending = False, True
        try:
            if self._closed is None:
                self._send_waiting()
            else:
                with deadline(LINGER, StreamClosed("closed before all was sent", reason="timeout")):
                    self._send_waiting()
        except StreamClosed as error:
            self._end(error.reason)  # type: ignore[arg-type]  # StreamClosed takes no other reasons
        self._sending = False
        if self._spoke is not None:
            self._spoke.set()
        if self._closed is not None:
            self._stream.close()

    def _send_waiting(self) -> None:
        while self._waiting:
            frames, self._waiting, self._size = self._waiting, [], 0
            self._stream.sendall(b"".join(frames))

    def close(self) -> None:
        """See PacketConn. What was sent just before still leaves, if the stream takes it soon."""
        self._end("local")

    def _end(self, reason: CloseReason) -> None:
        if self._closed is None:
            self._closed = reason
        if self._spoke is not None:
            self._spoke.set()
        if not self._called:
            self._stream.close()


def _over(reason: CloseReason) -> StreamClosed:
    return StreamClosed("the datagrams' stream is over", reason=reason)


class Unwrapping:
    """A dispatcher before another one: streams to the hosts that mean datagrams are handed on as datagrams."""

    __slots__ = ("_then",)

    def __init__(self, then: Dispatcher) -> None:
        self._then = then

    def stream(self, session: Session, stream: Stream, reply: Reply) -> None:
        """See Dispatcher. Raises StreamClosed for a client that says yes to datagrams, and then something else."""
        version = uot.version_of(session.target)
        if version is None:
            self._then.stream(session, stream, reply)
            return
        reply.accept()
        session.network = "udp"
        if version == 1:
            session.target = UNSPECIFIED
            self._then.packets(session, PacketsOverStream(stream))
            return
        client = Buffered(stream)
        request = _request(client)
        session.target = request.target
        self._then.packets(session, PacketsOverStream(client, request.target if request.connect else None))

    def packets(self, session: Session, conn: PacketConn) -> None:
        """See Dispatcher."""
        self._then.packets(session, conn)


def _request(client: Buffered) -> uot.Request:
    # The client has had its yes, so nothing but the end of the stream can tell it what is wrong.
    try:
        with deadline(HANDSHAKE_TIMEOUT, StreamClosed("no UDP over TCP request in time", reason="timeout")):
            return client.decode(uot.decode_request, uot.MAX_REQUEST)
    except ProtocolError as error:
        reason: CloseReason = "truncated" if error.reason in ("empty", "truncated") else "corrupt"
        raise StreamClosed(f"no UDP over TCP request: {error}", reason=reason) from error
