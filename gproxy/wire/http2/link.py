"""A link by HTTP/2 (RFC 9113): many streams, each of which is a request and its answer.

A client begins with 24 fixed octets, and both sides with a SETTINGS frame. Heads are compressed by HPACK (RFC 7541), of
which `hpack` does the coding; frames are made and read here, since nearly all of a tunnel's are DATA, several at once.

What a peer can ask for is bounded. Unread payload: by the windows, of which the link's holds for all streams together
and a stream's grows as its reader takes. Heads: by their size, compressed and not. Frames that carry nothing, and
streams that are given up before anything was sent on them: by an allowance that payload and time fill up again. Answers
that the peer does not read: by their number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

from hpack import Decoder, Encoder, HPACKError, OversizedHeaderListError

from gproxy.base.defaults import LINK_INBOX, LINK_TURN
from gproxy.base.errors import Overloaded, ProtocolError, TooLarge
from gproxy.base.iface import Buffer, Happened
from gproxy.wire.http2.frame import FRAME, LAST_WORDS, PREFACE, SETTING, Code, Flag, Kind, Setting, name_of_code
from gproxy.wire.http2.head import Lines, Request, Response, read_request, read_response

_LAST: Final = (1 << 31) - 1  # the last number of a stream, and the largest window
_USUAL_WINDOW: Final = 0xFFFF  # of the link and of each stream, before anybody says something else
_USUAL_FRAME: Final = 16 * 1024
_USUAL_STREAMS: Final = 100  # until the peer has said how many it takes; Go's clients begin with as many
_USUAL_TABLE: Final = 4096

MAX_FRAME: Final = LINK_TURN
"""The most payload of a frame, either way: what a stream sends at once. Others wait behind it."""

MAX_HEADERS: Final = 16 * 1024
"""The most octets of a head, compressed and not. Those of tunnels have a few hundred, of browsers a few thousand."""

MAX_STREAMS: Final = 250
"""How many streams of the peer can be open at once, as in Go's servers."""

FIRST_WINDOW: Final = 256 * 1024
"""A new stream's window: what a peer that nobody knows yet can make us hold for it."""

CLIENT_WINDOWS: Final = (64 * 1024 * 1024, 4 * 1024 * 1024)
"""The most payload that nobody has taken yet: of all streams together, which stalls them all, and of one. Go's clients
have the same for one, and no bound for all."""

SERVER_WINDOWS: Final = (LINK_INBOX, 1024 * 1024)
"""The same for servers, who don't know whom they serve; Go's have as much for one, and no more for all together."""

_MOST_CONTINUATIONS: Final = 8
_MOST_UNREAD: Final = 2048  # answers, of 8 to 17 octets each
_MOST_KNOWN: Final = 64  # heads that are remembered as long as the tables stay what they are
_LONGEST_KNOWN: Final = 64
_POINTERS: Final = bytes(range(0x80, 0xFF))
_IDLE_FRAMES: Final = 1000  # frames and streams for nothing that are borne at once
_REFILL: Final = 30.0  # seconds after which as many are again


def _says_all_again(block: bytes) -> bool:
    """Whether a compressed head only points into the tables, one octet for each field: it changes nothing in them."""
    return len(block) <= _LONGEST_KNOWN and not block.translate(None, _POINTERS)


class _Stream:
    """One stream, until both sides have ended it and what came is taken."""

    __slots__ = (
        "answered",
        "credit",
        "ended",
        "grants",
        "heard",
        "left",
        "over",
        "owed",
        "trailers",
        "unread",
        "used",
        "window",
    )

    def __init__(self, credit: int, window: int) -> None:
        self.credit = credit  # what may be sent
        self.window = window  # what the peer may have on its way, at most
        self.grants = window  # of that, what is left to it
        self.owed = 0  # what was taken, and is not granted again yet
        self.unread = 0  # what came, and is not taken yet
        self.answered = False  # the head of the answer has been sent, or has come
        self.left = False  # nobody here reads it any more
        self.heard = False  # the peer has ended it
        self.ended = False  # we have
        self.over = False  # the peer has reset it
        self.used = False  # it was good for something
        self.trailers: Lines = ()


class Http2:
    """Either side of a link (see Multiplexer). Streams begin with a Request; their answers' heads are Responses.

    `opened` has the Request, `head` the Response without trailers, and `ended` the trailers, if there were any.
    """

    def __init__(
        self,
        *,
        client: bool,
        idle_timeout: float = 0,
        ping_timeout: float = 15,
        first_timeout: float = 0,
        always: bool = True,
    ) -> None:
        """After `idle_timeout` seconds in which nothing was heard, a client asks with a PING whether the server is
        there, and gives it `ping_timeout` to answer; `always`: even if no stream is open. A server gives up a link
        that has had no stream for as long, and one that has had none at all for `first_timeout`. 0: never.
        """
        self._client = client
        self._idle = idle_timeout
        self._patience = ping_timeout
        self._first = first_timeout
        self._always = always
        self._encoder = Encoder()
        self._decoder = Decoder(max_header_list_size=MAX_HEADERS)
        self._written: dict[Request, bytes] = {}  # heads that only point into the encoder's table as it is now
        self._read: dict[bytes, list[tuple[bytes, bytes]]] = {}  # those that leave the decoder's as it is now
        self._streams: dict[int, _Stream] = {}
        self._out: list[bytes] = []
        self._unread = 0  # answers among them since the last drain
        self._unparsed = b""
        self._preface = 0 if client else len(PREFACE)  # octets of it that are still to come
        self._settled = False  # the peer's settings have come
        self._left = 0  # payload of a DATA frame that is still to come
        self._left_of = 0
        self._left_ends = False  # whether the stream ends behind it
        self._happened: list[Happened] = []
        self._pieces: list[memoryview] = []  # payload that came in a row, of one stream
        self._of = 0
        self._block = bytearray()  # a head that is not complete
        self._block_of = 0
        self._block_ends = False
        self._continuations = 0
        self._newest = 0  # the peer's last stream
        self._next = 1 if client else 2
        self._ours = self._theirs = 0  # open streams
        self._most = _USUAL_STREAMS  # of ours
        self._frame = _USUAL_FRAME
        self._initial = _USUAL_WINDOW
        self._credit = _USUAL_WINDOW
        self._link_window, self._stream_window = CLIENT_WINDOWS if client else SERVER_WINDOWS
        self._grants = self._link_window
        self._owed = 0
        self._allowance = _IDLE_FRAMES
        self._refilled: float | None = None
        self._anything = False  # something was heard since the last tick
        self._last: float | None = None  # when that was
        self._pinged: float | None = None
        self._closing = False  # the peer takes no more of ours
        self._closed = False  # we take no more of theirs
        self._begin()

    def _begin(self) -> None:
        settings = {Setting.INITIAL_WINDOW: FIRST_WINDOW, Setting.MAX_FRAME: MAX_FRAME, Setting.MAX_LIST: MAX_HEADERS}
        settings |= {Setting.ENABLE_PUSH: 0} if self._client else {Setting.MAX_STREAMS: MAX_STREAMS}
        if self._client:
            self._out.append(PREFACE)
        self._put(Kind.SETTINGS, 0, 0, b"".join([SETTING.pack(*each) for each in settings.items()]))
        self._put(Kind.WINDOW, 0, 0, (self._link_window - _USUAL_WINDOW).to_bytes(4, "big"))

    # -- out ----------------------------------------------------------------------------------------------------------

    @property
    def due(self) -> bool:
        """See Multiplexer."""
        return bool(self._out)

    def drain(self) -> bytes:
        """See Multiplexer."""
        out = self._out
        if not out:
            return b""
        self._out = []
        self._unread = 0
        return out[0] if len(out) == 1 else b"".join(out)

    def _put(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        size = len(payload)
        self._out.append(FRAME.pack(size >> 8, size & 0xFF, kind, flags, number) + payload)

    def _respond(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        """Send what the peer has made us send; it must read that, too."""
        self._unread += 1
        if self._unread > _MOST_UNREAD:
            self._fail(Code.CALM, "a peer that asks and does not read", "flood")
        self._put(kind, flags, number, payload)

    def _put_head(self, number: int, lines: Lines, *, last: bool) -> None:
        self._put_block(number, self._encode(lines), last=last)

    def _encode(self, lines: Lines) -> bytes:
        block: bytes = self._encoder.encode(lines)
        if not _says_all_again(block):
            self._written.clear()
        return block

    def _put_block(self, number: int, block: bytes, *, last: bool) -> None:
        flags, kind = Flag.END_STREAM if last else 0, Kind.HEADERS
        while len(block) > self._frame:
            self._put(kind, flags, number, block[: self._frame])
            block, flags, kind = block[self._frame :], 0, Kind.CONTINUATION
        self._put(kind, flags | Flag.END_HEADERS, number, block)

    def open(self, head: Request | None = None, /) -> int:
        """See Multiplexer. Without a head it is CONNECT, for whoever wants nothing but a stream."""
        if self._closing or self._ours >= self._most or self._next > _LAST:
            raise Overloaded("an HTTP/2 link that takes no more streams")
        head = head or Request(b"CONNECT", b"localhost", b"", scheme=b"")
        number = self._next
        self._next += 2
        self._ours += 1
        self._streams[number] = _Stream(self._initial, FIRST_WINDOW)
        self._put_block(number, self._block_for(head), last=False)
        return number

    def _block_for(self, head: Request) -> bytes:
        """A request's head, compressed. One that comes again and again, with a tuple of fields, is known by then."""
        comes_again = type(head.fields) is tuple
        if comes_again and (known := self._written.get(head)) is not None:
            return known
        lines = [(b":method", head.method), (b":authority", head.authority)]
        if head.path:
            lines += [(b":scheme", head.scheme), (b":path", head.path)]
        block = self._encode([*lines, *head.fields])
        if comes_again and _says_all_again(block) and len(self._written) < _MOST_KNOWN:
            self._written[head] = block
        return block

    def answer(self, stream: int, head: Response, /) -> None:
        """See Multiplexer. Once for each stream, before anything else is sent on it."""
        its = self._streams.get(stream)
        if its is None or its.over:
            return
        its.answered = True
        its.trailers = head.trailers
        self._put_head(stream, [(b":status", b"%d" % head.status), *head.fields], last=False)

    def room(self, stream: int, /) -> int:
        """See Multiplexer. 0, too, for a stream that is over."""
        its = self._streams.get(stream)
        return 0 if its is None or its.ended or its.over else max(min(its.credit, self._credit), 0)

    def send(self, stream: int, data: Buffer, /) -> None:
        """See Multiplexer."""
        its, size = self._streams.get(stream), len(data)
        if its is None or its.over or its.ended:
            return
        its.credit -= size
        self._credit -= size
        its.used = True
        if self._allowance < _IDLE_FRAMES:
            self._allowance += 1
        frame = self._frame
        if size <= frame:
            self._out.append(b"".join((FRAME.pack(size >> 8, size & 0xFF, Kind.DATA, 0, stream), data)))
            return
        with memoryview(data) as view:
            for at in range(0, size, frame):
                piece = view[at : at + frame]
                self._out.append(FRAME.pack(len(piece) >> 8, len(piece) & 0xFF, Kind.DATA, 0, stream))
                self._out.append(bytes(piece))

    def end(self, stream: int, /) -> None:
        """See Multiplexer."""
        its = self._streams.get(stream)
        if its is None or its.ended or its.over:
            return
        its.ended = True
        if its.trailers:
            self._put_head(stream, its.trailers, last=True)
        else:
            self._put(Kind.DATA, Flag.END_STREAM, stream, b"")
        self._settle(stream, its)

    def close(self, stream: int, /) -> None:
        """See Multiplexer."""
        self.end(stream)
        its = self._streams.get(stream)
        if its is None:
            return
        if its.over or its.heard:
            self._forget(stream, its)
        else:
            its.left = True

    def reset(self, stream: int, /) -> None:
        """See Multiplexer. Who has ended the stream before just takes no more; else it is a failure."""
        its = self._streams.get(stream)
        if its is None:
            return
        if not its.over and not (its.ended and its.heard):
            code = Code.INTERNAL if not its.ended else Code.CANCEL if self._client else Code.NO_ERROR
            self._drop(stream, its, code)
        self._forget(stream, its)

    def _drop(self, number: int, its: _Stream, code: int) -> None:
        self._respond(Kind.RESET, 0, number, code.to_bytes(4, "big"))
        self._finish(number, its)

    def _finish(self, number: int, its: _Stream) -> None:
        """The stream is open no more, at once and both ways."""
        if not its.over and not (its.ended and its.heard):
            self._count(number, -1)
        its.over = True

    def _settle(self, number: int, its: _Stream) -> None:
        """Both sides may have ended it."""
        if its.ended and its.heard:
            self._count(number, -1)
            if not its.unread:
                self._streams.pop(number, None)

    def _forget(self, number: int, its: _Stream) -> None:
        self._streams.pop(number, None)
        self._grant(its.unread)

    def _count(self, number: int, change: int) -> None:
        if (number & 1) == self._client:
            self._ours += change
        else:
            self._theirs += change

    def taken(self, stream: int, size: int, /) -> None:
        """See Multiplexer."""
        its = self._streams.get(stream)
        if its is None or not size:
            return
        its.unread -= size
        self._grant(size)
        if its.heard or its.over:
            if not its.unread and (its.ended or its.over):
                self._streams.pop(stream, None)
            return
        its.owed += size
        if its.owed * 2 >= its.window:
            if size * 4 <= its.window < self._stream_window:  # little has gathered: the reader waits for the peer
                its.owed += its.window
                its.window *= 2
            its.grants += its.owed
            self._put(Kind.WINDOW, 0, stream, its.owed.to_bytes(4, "big"))
            its.owed = 0

    def _grant(self, size: int) -> None:
        self._owed += size
        if self._owed * 4 >= self._link_window:
            self._grants += self._owed
            self._put(Kind.WINDOW, 0, 0, self._owed.to_bytes(4, "big"))
            self._owed = 0

    def goodbye(self) -> None:
        """See Multiplexer."""
        if not self._closed:
            self._closed = True
            self._put(Kind.GOAWAY, 0, 0, LAST_WORDS.pack(self._newest, Code.NO_ERROR))

    def _fail(
        self, code: int, message: str, reason: str = "http2", of: type[ProtocolError] = ProtocolError
    ) -> NoReturn:
        self._closed = self._closing = True
        self._put(Kind.GOAWAY, 0, 0, LAST_WORDS.pack(self._newest, code))
        raise of(f"HTTP/2: {message}", reason=reason)

    # -- time ---------------------------------------------------------------------------------------------------------

    def tick(self, at: float, /) -> float | None:
        """See Multiplexer."""
        if self._refilled is None or at - self._refilled >= _REFILL:
            self._refilled = at
            self._allowance = _IDLE_FRAMES
        again = self._refilled + _REFILL
        patience = self._idle if self._client or self._newest else self._first or self._idle
        if not patience:
            return again
        if self._last is None:
            self._last = at
        return min(again, self._look_after(at) if self._client else self._wait_for_streams(at, patience))

    def _look_after(self, at: float) -> float:
        """A client's part of the time."""
        if self._anything:
            self._anything = False
            self._last = at
            self._pinged = None
        assert self._last is not None, "time has begun"
        if self._pinged is not None:
            if at - self._pinged >= self._patience:
                self._fail(Code.NO_ERROR, "no answer to a PING in time", "timeout")
            return self._pinged + self._patience
        if not self._ours and not self._always:
            self._last = at
        elif at - self._last >= self._idle:
            self._pinged = at
            self._put(Kind.PING, 0, 0, bytes(8))
            return at + self._patience
        return self._last + self._idle

    def _wait_for_streams(self, at: float, patience: float) -> float:
        """A server's part of the time."""
        assert self._last is not None, "time has begun"
        if self._theirs:
            self._last = at
        elif at - self._last >= patience:
            if not self._newest:
                self._fail(Code.NO_ERROR, "no request in time", "timeout")
            self._fail(Code.NO_ERROR, "no stream for too long", "idle")
        return self._last + patience

    # -- in -----------------------------------------------------------------------------------------------------------

    def feed(self, data: bytes, /) -> Sequence[Happened]:
        """See Multiplexer."""
        self._anything = True
        if self._unparsed:
            data = self._unparsed + data
            self._unparsed = b""
        at, have = 0, len(data)
        if self._preface:
            at = min(self._preface, have)
            if not PREFACE.startswith(data[:at], len(PREFACE) - self._preface):
                self._fail(Code.PROTOCOL, "not the first octets of a client")
            self._preface -= at
        at = self._parse(memoryview(data), at, have)
        self._flush()
        self._unparsed = data[at:] if at < have else b""
        happened, self._happened = self._happened, []
        return happened

    def _parse(self, view: memoryview, at: int, have: int) -> int:
        """Read what is complete, and payload as it comes; where that ends."""
        while True:
            if self._left:
                size = min(self._left, have - at)
                if not size:
                    return at
                self._left -= size
                self._payload(self._left_of, view[at : at + size])
                at += size
                if self._left:
                    return at
                if self._left_ends:
                    self._hear_end(self._left_of, ())
            if have - at < FRAME.size:
                return at
            high, low, kind, flags, number = FRAME.unpack_from(view, at)
            size = high << 8 | low
            number &= _LAST
            body = at + FRAME.size
            if size > MAX_FRAME:
                self._fail(Code.FRAME_SIZE, f"a frame of {size} bytes", of=TooLarge)
            if self._block_of and (kind != Kind.CONTINUATION or number != self._block_of):
                self._fail(Code.PROTOCOL, "a head that is interrupted")
            if kind == Kind.DATA and not flags & Flag.PADDED:
                ends = bool(flags & Flag.END_STREAM)
                self._begin_data(number, size, 0, ends=ends)
                self._left, self._left_of, self._left_ends = size, number, ends
                if ends and not size:
                    self._hear_end(number, ())
                at = body
                continue
            if kind in _BOUNDED and size > MAX_HEADERS:
                self._fail(Code.CALM, f"a frame of {size} bytes, which can't be right", of=TooLarge)
            if body + size > have:
                return at
            at = body + size
            if not self._settled and kind != Kind.SETTINGS:
                self._fail(Code.PROTOCOL, "a peer that does not begin with its settings")
            handle = _HANDLERS.get(kind)
            if handle is None:
                self._spend()  # of an extension that nobody has agreed on
            else:
                handle(self, number, flags, view[body:at])

    def _spend(self) -> None:
        """The peer has made us do something for nothing."""
        self._allowance -= 1
        if self._allowance < 0:
            self._fail(Code.CALM, "a flood of frames that carry nothing", "flood")

    def _flush(self) -> None:
        """What came in a row is one piece."""
        pieces = self._pieces
        if pieces:
            data = bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)
            self._happened.append(Happened("data", self._of, data))
            pieces.clear()

    def _tell(self, kind: Any, number: int, value: Any = b"") -> None:
        self._flush()
        self._happened.append(Happened(kind, number, value))

    def _begin_data(self, number: int, size: int, padding: int, *, ends: bool) -> None:
        """A frame of payload begins."""
        its = self._known(number, "payload")
        self._grants -= size
        if its is not None:
            its.grants -= size
        if self._grants < 0 or (its is not None and its.grants < 0):
            self._fail(Code.FLOW_CONTROL, "more payload than there was a window for")
        if its is not None and its.heard:
            self._fail(Code.STREAM_CLOSED, "payload behind the end of a stream")
        if its is not None and self._client and not its.answered:
            self._fail(Code.PROTOCOL, "payload without a head")
        if size == padding:
            if not ends:
                self._spend()
        elif self._allowance < _IDLE_FRAMES:
            self._allowance += 1

    def _known(self, number: int, what: str) -> _Stream | None:
        """The stream, None for one that is over. There must have been one."""
        its = self._streams.get(number)
        if its is None and (not number or number > self._begun(number)):
            self._fail(Code.PROTOCOL, f"{what} of a stream that has not begun")
        return None if its is None or its.over else its

    def _begun(self, number: int) -> int:
        """The newest stream of the side that such a number belongs to."""
        return self._next - 2 if (number & 1) == self._client else self._newest

    def _payload(self, number: int, piece: memoryview) -> None:
        its = self._streams.get(number)
        if its is None or its.over or its.left:  # it was given up while this was on its way
            self._grant(len(piece))
            if its is not None and its.left:
                self.reset(number)
            return
        if number != self._of:
            self._flush()
            self._of = number
        its.unread += len(piece)
        self._pieces.append(piece)

    def _hear_end(self, number: int, trailers: Lines) -> None:
        its = self._streams.get(number)
        if its is None or its.over:
            return
        its.heard = True
        if not its.left:
            self._tell("ended", number, trailers)
        self._settle(number, its)

    def _on_padded(self, number: int, flags: int, payload: memoryview) -> None:
        """DATA with padding, which counts as payload that is taken at once."""
        piece, ends = self._unpadded(flags, payload), bool(flags & Flag.END_STREAM)
        padding = len(payload) - len(piece)
        self._begin_data(number, len(payload), padding, ends=ends)
        if piece:
            self._payload(number, piece)
        its = self._streams.get(number)
        if its is None:
            self._grant(padding)
        else:
            its.unread += padding
            self.taken(number, padding)
        if ends:
            self._hear_end(number, ())

    def _unpadded(self, flags: int, payload: memoryview) -> memoryview:
        if not flags & Flag.PADDED:
            return payload
        if not payload or payload[0] >= len(payload):
            self._fail(Code.PROTOCOL, "more padding than there is room for")
        return payload[1 : len(payload) - payload[0]]

    def _on_headers(self, number: int, flags: int, payload: memoryview) -> None:
        payload = self._unpadded(flags, payload)
        if flags & Flag.WITH_PRIORITY:
            if len(payload) < 5:
                self._fail(Code.FRAME_SIZE, "a priority that is cut off")
            payload = payload[5:]
        self._block = bytearray(payload)
        self._block_of, self._block_ends, self._continuations = number, bool(flags & Flag.END_STREAM), 0
        if not number:
            self._fail(Code.PROTOCOL, "a head of no stream")
        if flags & Flag.END_HEADERS:
            self._on_head()

    def _on_continuation(self, number: int, flags: int, payload: memoryview) -> None:
        if not self._block_of:
            self._fail(Code.PROTOCOL, "a head that goes on without a beginning")
        self._continuations += 1
        self._block += payload
        if len(self._block) > MAX_HEADERS or self._continuations > _MOST_CONTINUATIONS:
            self._fail(Code.CALM, "a head without an end", of=TooLarge)
        if flags & Flag.END_HEADERS:
            self._on_head()

    def _on_head(self) -> None:
        """A head is complete. Whatever becomes of it, it is read: the next one is told as its difference from this."""
        number, self._block_of = self._block_of, 0
        lines = self._decode(bytes(self._block))
        self._block.clear()
        its = self._streams.get(number)
        if its is None and not self._client and number > self._newest:
            self._on_request(number, lines)
        elif self._known(number, "a head") is None or its is None:
            self._spend()
        elif self._client and not its.answered:
            self._on_response(number, its, lines)
        elif its.heard or not self._block_ends:
            self._fail(Code.PROTOCOL, "a second head")
        else:
            self._hear_end(number, lines)

    def _decode(self, block: bytes) -> list[tuple[bytes, bytes]]:
        known = self._read.get(block)
        if known is not None:
            return known
        before = self._table_read()
        try:
            lines = [(bytes(name), bytes(value)) for name, value in self._decoder.decode(block, raw=True)]
        except OversizedHeaderListError:
            self._fail(Code.CALM, "a head that is too long", of=TooLarge)
        except HPACKError as error:
            self._fail(Code.COMPRESSION, f"a head that can't be read: {error}")
        if before != self._table_read() or len(self._read) >= _MOST_KNOWN:
            self._read.clear()
        elif len(block) <= _LONGEST_KNOWN:
            self._read[block] = lines
        return lines

    def _table_read(self) -> tuple[int, int, int]:
        """What changes whenever the decoder's table does: its size, and which entry is the newest of how many."""
        table = self._decoder.header_table
        entries = table.dynamic_entries
        return table.maxsize, len(entries), id(entries[0]) if entries else 0

    def _on_request(self, number: int, lines: list[tuple[bytes, bytes]]) -> None:
        if not number & 1:
            self._fail(Code.PROTOCOL, "a client's stream with a server's number")
        self._newest = number
        if self._closed or self._theirs >= MAX_STREAMS:
            self._refuse(number, Code.REFUSED)
            return
        request = read_request(lines)
        if request is None:
            self._refuse(number, Code.PROTOCOL)
            return
        self._theirs += 1
        self._streams[number] = _Stream(self._initial, FIRST_WINDOW)
        self._tell("opened", number, request)
        if self._block_ends:
            self._hear_end(number, ())

    def _refuse(self, number: int, code: int) -> None:
        self._spend()
        self._respond(Kind.RESET, 0, number, code.to_bytes(4, "big"))

    def _on_response(self, number: int, its: _Stream, lines: list[tuple[bytes, bytes]]) -> None:
        response = read_response(lines)
        if response is None or (response.status < 200 and self._block_ends):
            self._tell("reset", number, "a head that breaks the rules")
            self._drop(number, its, Code.PROTOCOL)
        elif response.status < 200:  # one that announces the head
            self._spend()
        else:
            its.answered = True
            self._tell("head", number, response)
            if self._block_ends:
                self._hear_end(number, ())

    def _on_priority(self, number: int, flags: int, payload: memoryview) -> None:
        if len(payload) != 5 or not number:
            self._fail(Code.FRAME_SIZE, "a priority of the wrong size")
        self._spend()

    def _on_reset(self, number: int, flags: int, payload: memoryview) -> None:
        if len(payload) != 4:
            self._fail(Code.FRAME_SIZE, "a reset of the wrong size")
        its = self._known(number, "a reset")
        if its is None:
            self._spend()
            return
        if not its.used and not self._client:
            self._spend()
        # This is how Go's ends close a stream that is not over, with all that they had to say before it.
        if not its.heard and int.from_bytes(payload, "big") in (Code.NO_ERROR, Code.CANCEL):
            self._hear_end(number, ())
        self._lose(number, its, name_of_code(payload))

    def _lose(self, number: int, its: _Stream, why: str) -> None:
        """The peer has given it up; what came may still be taken."""
        self._tell("reset", number, why)
        self._finish(number, its)
        if not its.unread:
            self._streams.pop(number, None)

    def _on_settings(self, number: int, flags: int, payload: memoryview) -> None:
        if number or len(payload) % SETTING.size or (flags & Flag.ACK and payload):
            self._fail(Code.FRAME_SIZE, "settings of the wrong size")
        if flags & Flag.ACK:
            if not self._settled:
                self._fail(Code.PROTOCOL, "a peer that does not begin with its settings")
            self._spend()
            return
        if self._settled:
            self._spend()
        self._settled = True
        for what, value in SETTING.iter_unpack(payload):
            self._agree(what, value)
        self._respond(Kind.SETTINGS, Flag.ACK, 0, b"")

    def _agree(self, what: int, value: int) -> None:
        if what == Setting.TABLE_SIZE:
            self._encoder.header_table_size = min(value, _USUAL_TABLE)
            self._written.clear()
        elif what == Setting.ENABLE_PUSH and value > (0 if self._client else 1):
            self._fail(Code.PROTOCOL, "a setting that can't be")
        elif what == Setting.MAX_STREAMS:
            self._most = value
        elif what == Setting.INITIAL_WINDOW:
            if value > _LAST:
                self._fail(Code.FLOW_CONTROL, "a window that can't be")
            change, self._initial = value - self._initial, value
            for its in self._streams.values():
                its.credit += change
                if its.credit > _LAST:
                    self._fail(Code.FLOW_CONTROL, "a window that can't be")
            if change > 0 and self._streams:
                self._tell("room", 0)
        elif what == Setting.MAX_FRAME:
            if not _USUAL_FRAME <= value < 1 << 24:
                self._fail(Code.PROTOCOL, "a setting that can't be")
            self._frame = min(value, MAX_FRAME)

    def _on_ping(self, number: int, flags: int, payload: memoryview) -> None:
        if number or len(payload) != 8:
            self._fail(Code.FRAME_SIZE, "a ping of the wrong size")
        self._spend()
        if not flags & Flag.ACK:
            self._respond(Kind.PING, Flag.ACK, 0, bytes(payload))

    def _on_goaway(self, number: int, flags: int, payload: memoryview) -> None:
        if number or len(payload) < 8:
            self._fail(Code.FRAME_SIZE, "a goodbye of the wrong size")
        self._spend()
        self._closing = True
        last = int.from_bytes(payload[:4], "big") & _LAST
        for one, its in list(self._streams.items()):
            if (one & 1) == self._client and one > last and not its.over:
                self._lose(one, its, "REFUSED_STREAM")
        self._tell("closing", last, name_of_code(payload[4:8]))

    def _on_window(self, number: int, flags: int, payload: memoryview) -> None:
        if len(payload) != 4:
            self._fail(Code.FRAME_SIZE, "a window of the wrong size")
        more = int.from_bytes(payload, "big") & _LAST
        if not more:
            self._fail(Code.PROTOCOL, "a window that grows by nothing")
        if not number:
            before = self._credit
            after = self._credit = before + more
        else:
            its = self._known(number, "a window")
            if its is None:
                return
            before = its.credit
            after = its.credit = before + more
        if after > _LAST:
            self._fail(Code.FLOW_CONTROL, "a window that can't be")
        if before <= 0 < after and self._streams:
            self._tell("room", number)

    def _on_push(self, number: int, flags: int, payload: memoryview) -> None:
        self._fail(Code.PROTOCOL, "a push that nobody wants")


_BOUNDED: Final = frozenset({Kind.HEADERS, Kind.CONTINUATION, Kind.SETTINGS, Kind.GOAWAY})

_HANDLERS: Final[dict[int, Callable[[Http2, int, int, memoryview], None]]] = {
    Kind.DATA: Http2._on_padded,
    Kind.HEADERS: Http2._on_headers,
    Kind.PRIORITY: Http2._on_priority,
    Kind.RESET: Http2._on_reset,
    Kind.SETTINGS: Http2._on_settings,
    Kind.PUSH: Http2._on_push,
    Kind.PING: Http2._on_ping,
    Kind.GOAWAY: Http2._on_goaway,
    Kind.WINDOW: Http2._on_window,
    Kind.CONTINUATION: Http2._on_continuation,
}
