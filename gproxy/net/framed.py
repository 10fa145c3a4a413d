"""Any pair of a Sealer and an Opener as a Stream: one read in, all its records out; one write with all of them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from gproxy.base.errors import CloseReason, ProtocolError, StreamClosed
from gproxy.base.iface import Answering, Buffer, Ending, Opener, Record, Sealer, Stream
from gproxy.net.around import Around
from gproxy.net.nested import nested
from gproxy.rt.sync import Event


@runtime_checkable
class Apart(Protocol):
    """A Sealer that can make records of several pieces at once."""

    def seal_each(self, pieces: Sequence[bytes], /) -> bytes | bytearray:
        """Each of the pieces in records of its own: not more than some dozen KiB of them."""


class Framed(Around):
    """A stream of records over a stream of bytes.

    A record that can't be right ends the stream as `corrupt`, and an end inside a record as `truncated`: what came
    before is all that is genuine, and nothing comes after it.
    """

    __slots__ = (
        "_answering",
        "_broken",
        "_cut",
        "_ended",
        "_ending",
        "_held",
        "_opener",
        "_sealer",
        "_sending",
        "_turn",
        "_unopened",
        "_untried",
    )

    def __init__(
        self,
        inner: Stream,
        opener: Opener,
        sealer: Sealer,
        unopened: bytes = b"",
        *,
        held: bool = False,
        ending: Ending | None = None,
        answering: Answering | None = None,
    ) -> None:
        """`unopened`: what was read ahead of it. `held`: the sealer has a head that the peer waits for."""
        self._answering = answering
        self._ending = ending
        super().__init__(inner)
        self._opener = opener
        self._sealer = sealer
        self._unopened = unopened
        self._untried = bool(unopened)  # it may hold complete records; what `_open` leaves does not
        self._held = held
        self._ended = False
        self._cut = False  # a record was not sent to its end: what came behind it would be read as part of it
        self._sending = False
        self._turn: Event | None = None  # of a writer that comes while the reader sends an answer
        self._broken: tuple[str, CloseReason] | None = None

    def recv(self) -> bytes:
        """See Stream."""
        if self._held:
            self.sendall(b"")
        if self._broken is not None:
            raise self._break(*self._broken)
        if self._untried and (payload := self._open(self._unopened)):
            return payload
        while not self._ended:
            if self._answering is not None and self._answering.due and not self._sending:
                self._answer()
            data = self._inner.recv()
            if not data:
                self._end()
            elif payload := self._open(self._unopened + data if self._unopened else data):
                return payload
        return b""

    def _open(self, sealed: bytes) -> bytes:
        self._untried = False
        payload = bytearray(len(sealed))
        with memoryview(sealed) as source, memoryview(payload) as target:
            try:
                used, made = self._opener.open_into(source, target)
            except ProtocolError as error:
                raise self._break(f"the stream is corrupt: {error}", "corrupt") from error
            self._unopened = sealed[used:]
            if self._ending is not None and self._ending.heard:
                self._ended = True
                self._unopened = b""
            return target[:made].tobytes()

    def _answer(self) -> None:
        """The reader sends what is due: it waits, as the writer would, while the peer does not read."""
        with contextlib.suppress(StreamClosed):  # what the peer has said is to be read all the same
            self.sendall(b"")

    def _end(self) -> None:
        self._ended = True
        if self._unopened:
            raise self._break("the stream ended inside a record", "truncated")

    def _break(self, message: str, reason: CloseReason) -> StreamClosed:
        """What is to be raised now, and from now on."""
        self._broken = message, reason
        self._unopened = b""
        return StreamClosed(message, reason=reason)

    def sendall(self, data: Buffer, /) -> None:
        """See Stream."""
        self._held = False
        if self._answering is None:
            self._send(data)
            return
        while self._sending:
            self._turn = self._turn or Event()
            self._turn.wait()
        self._sending = True
        try:
            self._send(data)
            while self._answering.due:  # it came while that was sent
                self._send(b"")
        finally:
            self._sending = False
            turn, self._turn = self._turn, None
            if turn is not None:
                turn.set()

    def sendall_apart(self, pieces: Sequence[bytes], /) -> None:
        """Send pieces in one go, each in records of its own: for peers that look at one record at a time."""
        if self._answering is not None:
            for piece in pieces:
                self.sendall(piece)
            return
        self._held = False
        sealer = self._sealer
        if isinstance(sealer, Apart):
            sealed = sealer.seal_each(pieces)
            with memoryview(sealed) as target:
                self._send_sealed(target, len(sealed))
            return
        sealed = bytearray(sum([sealer.room(len(piece)) for piece in pieces]))
        with memoryview(sealed) as target:
            made = 0
            for piece in pieces:
                made += sealer.seal_into(piece, target[made:])
            self._send_sealed(target, made)

    def _send(self, data: Buffer) -> None:
        sealed = bytearray(self._sealer.room(len(data)))
        with memoryview(sealed) as target:
            self._send_sealed(target, self._sealer.seal_into(data, target))

    def _send_sealed(self, target: memoryview, made: int) -> None:
        if made:
            if self._cut:
                raise StreamClosed("the record before was cut off", reason="local")
            self._cut = True
            self._inner.sendall(target[:made])
            self._cut = False

    def close_write(self) -> None:
        """See Stream. A head that waits goes first, and then the word for the end, if there is one."""
        with contextlib.suppress(StreamClosed):  # nobody is left to hear it
            if self._held:
                self.sendall(b"")
            if self._ending is not None and not self._cut and (words := self._ending.say()):
                self._inner.sendall(words)
        self._inner.close_write()

    def take(self) -> bytes:
        """See Stream: complete records that were read ahead."""
        if self._broken is not None:
            return b""
        sealed = self._unopened + self._inner.take()
        return self._open(sealed) if sealed else b""

    def bare(self) -> int | None:
        """See Stream: never."""
        return None

    def record(self) -> Record | None:
        """See Stream."""
        if self._held or self._ended or self._broken is not None:
            return None
        fd = self._inner.bare()
        if fd is None:
            beneath = self._inner.record()
            if beneath is None:
                return None
            return nested(beneath, self._opener, self._sealer, self._unopened, self._ending, self._answering)
        return Record(fd, self._opener, self._sealer, self._unopened, self._ending, self._answering)

    def held(self) -> bool:
        """See Stream."""
        return self._held
