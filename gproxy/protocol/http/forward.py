"""Forwarding over one connection to a server.

Payload moves in gproxy.relay only. So the relay is given, as its left side, an Exchange: a Stream whose `recv` gives
what goes to the server (request heads rewritten, bodies, and the next request when it may follow) and whose `sendall`
takes what the server says (responses, whose heads are rewritten on the way to the client). The relay's two greenlets:

    up      client.recv -> Exchange.recv -> server        waits for the next request while the response is on its way
    down    server -> Exchange.sendall -> client          the only one that writes to the client

One request is in flight at a time: the next one is not even decoded before the response is complete.
"""

from __future__ import annotations

from gproxy.base.address import Address
from gproxy.base.defaults import HTTP_KEEP_ALIVE
from gproxy.base.errors import ProtocolError, StreamClosed
from gproxy.base.iface import Buffer
from gproxy.net.buffered import Buffered
from gproxy.net.opaque import Opaque
from gproxy.protocol.http.intake import Intake, Request
from gproxy.protocol.http.rewrite import forward_request, forward_response, persists
from gproxy.rt.deadline import Cancel
from gproxy.rt.sockets import Timer
from gproxy.rt.sync import Event
from gproxy.wire.cursor import Cursor, Incomplete
from gproxy.wire.http1 import Body, ResponseHead, UntilEnd, decode_response, response_body


class Exchange(Opaque):
    """The client's side of one connection to a server. Its fields tell, when the relay is over, how things stand."""

    __slots__ = (
        "_answered", "_client", "_client_ended", "_closed", "_held", "_idle", "_intake", "_let_go", "_over", "_reused",
        "_sent", "_server_keeps", "_tunnel", "_wake", "_writing", "answer", "closing", "failure", "fault", "heard",
        "lost", "next", "request",
    )  # fmt: skip

    def __init__(self, client: Buffered, intake: Intake, request: Request) -> None:
        self.request = request
        self.next: Request | None = None  # one that has been taken from the client and must go another way
        self.answer: Body | None = None  # of the final response to `request`, once its head has gone to the client
        self.heard = False  # whether the server has said anything to `request`
        self.closing = False  # whether the client has been told that its connection ends
        self.lost = False  # whether the client's connection is of no more use
        self.failure: ProtocolError | None = None  # what the client did wrong
        self.fault: ProtocolError | None = None  # what the server did wrong
        self._client = client
        self._intake = intake
        self._sent = False
        self._reused = False
        self._client_ended = False
        self._server_keeps = True
        self._tunnel = False
        self._writing = False
        self._closed = False
        self._over = False
        self._idle: Timer | None = None  # runs between a response and the next request
        self._let_go = False  # that took too long
        self._held = b""  # the beginning of a response head; its decoder bounds it
        self._answered = Event()
        self._wake = Cancel()

    # -- what the inbound asks when the relay is over ---------------------------------------------------------------

    def unusable(self) -> bool:
        """Nothing more can be said to the client: it is gone, or has got half of something."""
        return self.lost or self._tunnel or self._interrupted()

    def answered(self) -> bool:
        """The request has got its whole response."""
        return self.answer is not None and self.answer.complete

    def worth_replay(self) -> bool:
        """A kept connection that ends without a word was often over before the request came: RFC 9110 section 9.2.2."""
        return self._reused and self.request.replayable and not self.heard and self.fault is None

    # -- up: what goes to the server --------------------------------------------------------------------------------

    def recv(self) -> bytes:
        """See Stream. Raises StreamClosed with the reason `eof` when both directions are over, in order."""
        try:
            return self._upward()
        except ProtocolError as error:
            self.failure = error
            raise StreamClosed("the client broke the protocol") from error
        except StreamClosed as error:
            self.lost = self.lost or error.reason != "eof"
            raise

    def _upward(self) -> bytes:
        while not self._over:
            if self._tunnel:
                with self._wake:
                    return self._client.recv()
            elif not self._sent:
                return self._head()
            elif not self.request.body.complete:
                if piece := self._piece():
                    return piece
            elif not self._await_next():
                break
        if self._closed:
            raise StreamClosed("closed here", reason="killed")
        if self._let_go:
            raise StreamClosed("no further request", reason="eof")
        return b""

    def _head(self) -> bytes:
        self._sent = True
        request = self.request
        assert request.forward is not None
        return forward_request(request.head, request.forward, upgrade=request.upgrade, close=not request.keep)

    def _piece(self) -> bytes:
        """The next of the request's body; empty if there is nothing to send yet, or no more."""
        with self._wake:
            if not self._client.peek():
                raise ProtocolError("the client ended inside a request", reason="truncated")
            return self._client.decode(self._decode_piece, 1)
        return b""

    def _decode_piece(self, cursor: Cursor) -> bytes:
        piece, rest = self.request.body.feed(cursor.rest())
        cursor.at -= len(rest)
        return piece

    def _await_next(self) -> bool:
        """Wait for what the client does after a whole request; False if it ends while it waits for the response.

        That half-close is passed on: a client that has gone away looks the same, and its server should know.
        """
        ahead = None
        with self._wake:
            ahead = self._client.peek()
        if ahead is None:
            return True
        if not ahead:
            self._client_ended = True
            if self._answered.is_set() and not self._tunnel:
                raise self._finish()
            return False
        self._answered.wait()
        if not self._over and not self._tunnel:
            self._take_next()
        return True

    def _take_next(self) -> None:
        self.forget_time()
        with self._wake:
            self.next = self._intake.following()
        if self._over:
            return
        if self.next is None or not self.next.same_way(self.request):
            self._client_ended = self.next is None
            raise self._finish()
        self.request, self.next = self.next, None
        self.answer, self.heard = None, False
        self._sent, self._reused = False, True
        self._answered.clear()

    # -- down: what the server says ---------------------------------------------------------------------------------

    def sendall(self, data: Buffer, /) -> None:
        """See Stream. Raises StreamClosed, with the reason `eof` when both directions are over, in order."""
        rest = bytes(data)
        while rest and not self._tunnel:
            if self._over or not self._sent or self._answered.is_set():
                raise self._finish()  # nobody asked: at best a server says 408 and means goodbye
            try:
                rest = self._response(rest) if self.answer is None else self._body(self.answer, rest)
            except ProtocolError as error:
                self.fault = error
                self._finish()
                raise StreamClosed("the server broke the protocol") from error
        if rest:
            self._write(rest)

    def _response(self, data: bytes) -> bytes:
        """Take a response head; gives what follows it."""
        self.heard = True
        data = self._held + data
        cursor = Cursor(data)
        try:
            head = decode_response(cursor)
        except Incomplete:
            self._held = data
            return b""
        self._held = b""
        rest = data[cursor.at :]
        if head.status == 101:
            return self._switch(head, rest)
        if head.status < 200:
            if self.request.head.minor:  # HTTP/1.0 knows no interim responses
                self._write(forward_response(head, close=False, bodiless=True))
            return rest
        return self._final(head, rest)

    def _switch(self, head: ResponseHead, rest: bytes) -> bytes:
        if not self.request.upgrade or not self.request.body.complete:
            raise ProtocolError("a switch of protocols that nobody asked for")
        self._tunnel = True
        self._write(forward_response(head, close=False, bodiless=True))
        self._answered.set()
        return rest

    def _final(self, head: ResponseHead, rest: bytes) -> bytes:
        request = self.request
        old = not request.head.minor
        answer = response_body(head, request.head.method, bare=old)
        # When a response comes before the end of its request, what the client sends next can't be told apart any more.
        self.closing = not request.keep or not request.body.complete or isinstance(answer, UntilEnd)
        lines = forward_response(head, close=self.closing, bodiless=head.status == 204, unchunk=old)
        piece, rest = answer.feed(rest)
        self.answer = answer
        self._server_keeps = persists(head)
        self._write(lines + piece)
        self._check_complete(answer)
        return rest

    def _body(self, answer: Body, data: bytes) -> bytes:
        piece, rest = answer.feed(data)
        if piece:
            self._write(piece)
        self._check_complete(answer)
        return rest

    def _check_complete(self, answer: Body) -> None:
        if not answer.complete:
            return
        if self.closing or self._client_ended or not self._server_keeps:
            raise self._finish()
        self._answered.set()
        self._idle = Timer(HTTP_KEEP_ALIVE, self._time_is_up)

    def _time_is_up(self) -> None:
        """In the hub: the client has asked for nothing more."""
        self._let_go = self.closing = True
        self._finish()

    def forget_time(self) -> None:
        """There is a further request, or the relay is over: nobody waits for one any more."""
        if self._idle is not None:
            self._idle.stop()
            self._idle = None

    def _write(self, data: bytes) -> None:
        self._writing = True  # and it stays so if this is interrupted
        self._client.sendall(data)
        self._writing = False

    # -- ends -------------------------------------------------------------------------------------------------------

    def _interrupted(self) -> bool:
        return self._writing or (self.answer is not None and not self.answer.complete)

    def _finish(self) -> StreamClosed:
        """Let both directions end; gives the error that ends the relay in order."""
        self._over = True
        self.forget_time()
        self._wake.fire()
        self._answered.set()
        return StreamClosed("the exchange is over", reason="eof")

    def close_write(self) -> None:
        """See Stream: the server has ended."""
        if self._tunnel:
            self._client.close_write()
            return
        if self.answer is not None and not self.answer.complete:
            self.answer.whole_at_end()
        self._finish()

    def close(self) -> None:
        """See Stream. The client's connection outlives this, unless it is in the middle of something."""
        self._closed = True
        if self.unusable():
            self._client.close()
        self._finish()

    def abort(self) -> None:
        """See Stream, and `close`."""
        self._closed = True
        if self.unusable():
            self._client.abort()
        self._finish()

    def take(self) -> bytes:
        """See Stream: nothing is ahead of `recv`."""
        return b""

    def bound(self) -> Address | None:
        """See Stream."""
        return self._client.bound()
