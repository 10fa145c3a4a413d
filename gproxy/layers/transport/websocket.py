"""The V2Ray transport `ws`: a stream as the binary messages of a WebSocket (gproxy.wire.websocket has the format).

The end of one direction is said with a close frame. What lies beneath stays open both ways until the stream is closed:
between gproxies the other direction goes on, and web servers in between end both when they see the end of one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Final, cast

from gproxy.base.defaults import HANDSHAKE_TIMEOUT
from gproxy.base.errors import CloseReason, ProtocolError, StreamClosed
from gproxy.base.iface import Buffer, Connect, Ending, Record, Stream
from gproxy.base.session import Session
from gproxy.layers.transport.upgrade import Headers, NotHere, UpgradeClient, UpgradeServer, ask
from gproxy.net.around import Around
from gproxy.net.buffered import Buffered
from gproxy.net.framed import Framed
from gproxy.rt.deadline import deadline
from gproxy.rt.sync import Lock
from gproxy.wire.http1.head import Fields, RequestHead
from gproxy.wire.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    MAX_CONTROL,
    MAX_HEAD,
    NORMAL,
    PING,
    PONG,
    PROTOCOL,
    check_switch,
    decode_close,
    decode_early,
    decode_head,
    encode_control,
    encode_early,
    encode_head,
    encode_switch,
    encode_upgrade,
    is_upgrade,
    key_of,
    mask_into,
)

_CONTROL_ROOM: Final = MAX_HEAD + MAX_CONTROL

# Frames that carry nothing, in one piece of a stream. Nobody has a reason for more, and each costs more than its bytes.
_EMPTY: Final = 256

_MASKS: Final = 1024  # octets of randomness that are asked of the system at once

NextMask = Callable[[], bytes]
"""Gives the mask of the next frame: 4 octets that nobody can foresee, or none of a server."""


class Masks:
    """A client's masks."""

    __slots__ = ("_at", "_some")

    def __init__(self) -> None:
        self._some = b""
        self._at = 0

    def __call__(self) -> bytes:
        """See NextMask."""
        at = self._at
        if at == len(self._some):
            self._some, at = os.urandom(_MASKS), 0
        self._at = at + 4
        return self._some[at : at + 4]


_MASKS_OF_ALL: Final = Masks()


def no_mask() -> bytes:
    """A server's frames have none."""
    return b""


class Talk:
    """What both directions of a WebSocket know of each other (see Ending and Answering)."""

    __slots__ = ("_mask", "heard", "ping", "said")

    def __init__(self, mask: NextMask) -> None:
        self._mask = mask
        self.heard = False
        self.said = False
        self.ping: bytes | None = None  # the newest that is not answered; older ones need not be (section 5.5.3)

    @property
    def due(self) -> bool:
        """See Answering."""
        return self.ping is not None and not self.said

    def answer(self) -> bytes:
        """The pong that is due, which then is so no more."""
        ping, self.ping = self.ping or b"", None
        return encode_control(PONG, ping, self._mask())

    def say(self) -> bytes:
        """See Ending."""
        if self.said:
            return b""
        self.said = True
        return encode_control(CLOSE, NORMAL.to_bytes(2, "big"), self._mask())


class FrameSealer:
    """Payload as one binary message for each sealing, behind a pong if one is due (see Sealer)."""

    __slots__ = ("_mask", "_talk")

    def __init__(self, talk: Talk, mask: NextMask) -> None:
        self._talk = talk
        self._mask = mask

    def room(self, size: int, /) -> int:
        """See Sealer."""
        return size + MAX_HEAD + (_CONTROL_ROOM if self._talk.due else 0)

    def seal_into(self, source: Buffer, target: memoryview, /) -> int:
        """See Sealer."""
        made = 0
        if self._talk.due:
            pong = self._talk.answer()
            made = len(pong)
            target[:made] = pong
        size = len(source)
        if not size:
            return made
        mask = self._mask()
        head = encode_head(BINARY, size, mask)
        body = made + len(head)
        end = body + size
        target[made:body] = head
        if mask:
            mask_into(source, mask, target[body:end])
        else:
            target[body:end] = source
        return end


class FrameOpener:
    """Messages as payload (see Opener). A long frame is opened as it comes, so its length needs no bound.

    Of a frame that is not complete, the last byte that is there is left: an end behind it is one inside a record.
    """

    __slots__ = ("_left", "_mask", "_masked", "_over", "_talk", "_unfinished")

    def __init__(self, talk: Talk, *, masked: bool) -> None:
        """`masked`: whether the frames are those of a client."""
        self._talk = talk
        self._masked = masked
        self._left = 0  # bytes of the frame that are still to come
        self._mask = b""  # its mask, as it applies to the next of them
        self._unfinished = False  # more frames of the message are to come

    def open_into(self, source: memoryview, target: memoryview, /) -> tuple[int, int]:
        """See Opener."""
        talk, have, room = self._talk, len(source), len(target)
        used = made = empty = 0
        while True:
            if self._left:
                size = self._size(have - used, room - made)
                if size <= 0:
                    break
                self._unmask(source[used : used + size], target[made : made + size])
                used += size
                made += size
                if self._left:
                    break
            head = decode_head(source, used, masked=self._masked)
            if head is None:
                break
            body, opcode, final, size, mask = head
            if opcode >= CLOSE:
                if body + size > have:
                    break
                used = body + size
                self._control(opcode, bytes(source[body:used]), mask)
                if talk.heard:
                    return have, made
            elif (opcode == CONTINUATION) != self._unfinished:
                raise ProtocolError(
                    "a WebSocket message that begins inside another one, or goes on without a beginning"
                )
            elif size and body == have:
                break
            else:
                self._unfinished = not final
                self._left, self._mask, used = size, mask, body
            empty += not size or opcode >= CLOSE
            if empty > _EMPTY:
                raise ProtocolError("a flood of WebSocket frames that carry nothing")
        return used, made

    def _size(self, have: int, room: int) -> int:
        """How many bytes of the frame can be opened now."""
        return min(self._left, room) if have >= self._left else min(have - 1, room)

    def _unmask(self, source: memoryview, target: memoryview) -> None:
        """The next bytes of the frame."""
        size, mask = len(source), self._mask
        self._left -= size
        if not mask:
            target[:] = source
            return
        mask_into(source, mask, target)
        turn = size & 3
        if turn:
            self._mask = mask[turn:] + mask[:turn]

    def _control(self, opcode: int, payload: bytes, mask: bytes) -> None:
        if mask and payload:
            plain = bytearray(payload)
            mask_into(payload, mask, memoryview(plain))
            payload = bytes(plain)
        if opcode == PING:
            self._talk.ping = payload
        elif opcode == CLOSE:
            decode_close(payload)
            self._talk.heard = True


def websocket(stream: Stream, unopened: bytes, *, client: bool) -> Framed:
    """The stream within a WebSocket whose handshake is over; `unopened` was read behind that."""
    mask: NextMask = _MASKS_OF_ALL if client else no_mask
    talk = Talk(mask)
    opener, sealer = FrameOpener(talk, masked=not client), FrameSealer(talk, mask)
    return Framed(_Unhalved(stream), opener, sealer, unopened, ending=talk, answering=talk)


class _Unhalved(Around):
    """A stream that ends in its own words: what lies beneath is not ended one way."""

    __slots__ = ("_shut",)

    def __init__(self, inner: Stream) -> None:
        super().__init__(inner)
        self._shut = False

    def sendall(self, data: Buffer, /) -> None:
        """See Stream."""
        if self._shut:
            raise StreamClosed("closed here", reason="local")
        self._inner.sendall(data)

    def close_write(self) -> None:
        """See Stream: it has been said."""
        self._shut = True

    def bare(self) -> int | None:
        """See Stream."""
        return None if self._shut else self._inner.bare()

    def record(self) -> Record | None:
        """See Stream: nor does a pump end it."""
        record = None if self._shut else self._inner.record()
        if record is None or record.ending is None:
            return record
        return replace(record, ending=_Silent(record.ending))


class _Silent:
    """An Ending that is heard and not said."""

    __slots__ = ("_ending",)

    def __init__(self, ending: Ending) -> None:
        self._ending = ending

    @property
    def heard(self) -> bool:
        """See Ending."""
        return self._ending.heard

    def say(self) -> bytes:
        """See Ending."""
        return b""


# -- server -----------------------------------------------------------------------------------------------------------


class WsServer(UpgradeServer):
    """Takes WebSockets at a place."""

    def __init__(self, path: str, headers: Headers, *, early: bool = False, early_name: str = "") -> None:
        """`early`: whether clients may send payload in their request; `early_name`: the field for it, else the path."""
        super().__init__("", path, headers)
        self._in_path = early and not early_name
        self._early_name = early_name.lower().encode() if early else b""

    def _open(self, client: Buffered, head: RequestHead) -> Stream:
        beyond = self._beyond_path(head)
        if beyond and not self._in_path:
            raise NotHere("an HTTP request for another path", reason="path")
        if not is_upgrade(head):
            raise ProtocolError("an HTTP request that asks for no WebSocket", reason="upgrade")
        key = key_of(head)
        said = head.fields.values(self._early_name) if self._early_name else []
        if len(said) > 1:
            raise ProtocolError("early data in more than one field", reason="early-data")
        early = decode_early(b"".join(said) or beyond)
        fields = self._fields
        if said and self._early_name == PROTOCOL:  # browsers want one of their protocols to be chosen
            fields = Fields([*fields.lines])
            fields.add(b"Sec-WebSocket-Protocol", said[0])
        client.sendall(encode_switch(fields, key))
        opened = websocket(client, client.take(), client=False)
        return Buffered(opened, early) if early else opened


# -- client -----------------------------------------------------------------------------------------------------------


class WsClient(UpgradeClient):
    """Asks for a WebSocket at a place. With room for early data, it asks when there is a payload."""

    def __init__(self, host: str, path: str, headers: Headers, *, early: int = 0, early_name: str = "") -> None:
        """`early`: the most payload that goes into the request; `early_name`: the field for it, else the path."""
        super().__init__(host, path, headers)
        self._early = early
        self._early_name = early_name.encode()

    def connecting(self, via: Connect) -> Connect:
        """See ClientLayer."""
        if not self._early:
            return super().connecting(via)

        def connect(session: Session) -> Stream:
            return _Early(via(session), self)

        return connect

    def _open(self, stream: Stream) -> Stream:
        return self.open(stream, b"")

    def open(self, stream: Stream, first: bytes) -> Framed:
        """Ask, with the beginning of the first payload, and send the rest. Raises ProtocolError and StreamClosed."""
        nonce = os.urandom(16)
        target, fields, protocol = self._target, self._fields, b""
        if early := encode_early(first[: self._early]):
            if self._early_name:
                fields = Fields([*fields.lines])
                fields.add(self._early_name, early)
                protocol = early if self._early_name.lower() == PROTOCOL else b""
            else:
                target += early
        head, ahead = ask(stream, encode_upgrade(self._host, target, fields, nonce))
        check_switch(head, nonce, protocol)
        opened = websocket(stream, ahead, client=True)
        if late := first[self._early :]:
            opened.sendall(late)
        return opened


class _Early(Around):
    """A WebSocket that is asked for with the first payload, or before waiting for the peer."""

    __slots__ = ("_client", "_failed", "_opened", "_opening")

    def __init__(self, inner: Stream, client: WsClient) -> None:
        super().__init__(inner)
        self._client = client
        self._opened: Framed | None = None
        self._opening = Lock()
        self._failed: tuple[str, CloseReason] | None = None

    def _open(self, first: bytes) -> Framed | None:
        """Ask with this payload; None if that is done already, and so the payload not sent. Raises StreamClosed."""
        with self._opening:
            if self._opened is not None:
                return None
            if self._failed is not None:
                raise StreamClosed(self._failed[0], reason=self._failed[1])
            try:
                with deadline(HANDSHAKE_TIMEOUT, StreamClosed("no answer to the upgrade in time", reason="timeout")):
                    self._opened = self._client.open(self._inner, first)
            except (ProtocolError, StreamClosed) as error:
                message, reason = self._failed = _failure(error)
                raise StreamClosed(message, reason=reason) from error
            return self._opened

    def recv(self) -> bytes:
        """See Stream."""
        if self._opened is None:
            self._open(b"")
        assert self._opened is not None, "it has been opened, now or before"
        return self._opened.recv()

    def sendall(self, data: Buffer, /) -> None:
        """See Stream."""
        if self._opened is None and self._open(bytes(data)) is not None:
            return
        assert self._opened is not None, "it has been opened, now or before"
        self._opened.sendall(data)

    def close_write(self) -> None:
        """See Stream. The request goes first."""
        with contextlib.suppress(StreamClosed):  # nobody is left to hear it
            if self._opened is None:
                self._open(b"")
        if self._opened is not None:
            self._opened.close_write()

    def take(self) -> bytes:
        """See Stream."""
        return b"" if self._opened is None else self._opened.take()

    def bare(self) -> int | None:
        """See Stream: never."""
        return None

    def record(self) -> Record | None:
        """See Stream: once it is opened."""
        return None if self._opened is None else self._opened.record()

    def held(self) -> bool:
        """See Stream."""
        return self._opened is None


def _failure(error: ProtocolError | StreamClosed) -> tuple[str, CloseReason]:
    """What a stream is closed with that could not be opened."""
    if isinstance(error, StreamClosed):
        return str(error), cast(CloseReason, error.reason)
    return f"upgrade: {error}", "truncated" if error.reason == "truncated" else "corrupt"
