"""Questions on a stream (RFC 7766): each behind its length in two octets, answered as soon as each can be.

+--------+----------------+--------+----------------+
| length | message        | length | message        |   many at once, and answers in any order
+--------+----------------+--------+----------------+
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gproxy.base.defaults import DNS_IDLE, HANDSHAKE_TIMEOUT, QUERIES_OF_ONE
from gproxy.base.errors import ProtocolError, StreamClosed
from gproxy.base.iface import Later, Stream
from gproxy.rt.deadline import deadline
from gproxy.rt.group import Group
from gproxy.rt.sockets import Gate

Begin = Callable[[bytes], bytes | Later]
"""The answer to a question, or what finds it; see Resolver."""

WORKERS: Final = Group("dns")
"""Those who work on questions: nobody waits for their end, and each ends by itself."""


class Questions:
    """What came of a stream, and what is to be sent on it. Answers are ready in the order in which they were found."""

    __slots__ = ("_ahead", "_answers", "_begin", "_most", "_ready", "_working")

    def __init__(self, begin: Begin, ready: Callable[[], None], most: int = QUERIES_OF_ONE) -> None:
        """`ready` is called when an answer that took longer is there. `most`: how many there are at once."""
        self._begin = begin
        self._ready = ready
        self._most = most
        self._ahead = b""
        self._answers: list[bytes] = []
        self._working = 0

    @property
    def full(self) -> bool:
        """Whether answers have to leave before anything else may be asked."""
        return self._working + len(self._answers) >= self._most

    @property
    def busy(self) -> bool:
        """Whether there are answers to come or to be taken."""
        return bool(self._working or self._answers)

    @property
    def cut(self) -> bool:
        """Whether a message has begun that is not complete."""
        return bool(self._ahead)

    def feed(self, data: bytes) -> None:
        """Take what has come. When it is full, feed nothing but `b""` until it is not."""
        ahead = self._ahead + data if self._ahead else data
        at = 0
        while not self.full and at + 2 <= len(ahead):
            end = at + 2 + int.from_bytes(ahead[at : at + 2], "big")
            if end > len(ahead):
                break
            self._ask(ahead[at + 2 : end])
            at = end
        self._ahead = ahead[at:]

    def _ask(self, query: bytes) -> None:
        answer = self._begin(query)
        if not isinstance(answer, bytes):
            self._working += 1
            WORKERS.spawn(self._one, answer)
        elif answer:
            self._put(answer)

    def _one(self, find: Later) -> None:
        try:
            answer = find()
            if answer:
                self._put(answer)
        finally:
            self._working -= 1
            self._ready()

    def _put(self, answer: bytes) -> None:
        self._answers.append(len(answer).to_bytes(2, "big") + answer)

    def take(self) -> bytes:
        """All answers that are ready."""
        answers = self._answers
        if not answers:
            return b""
        self._answers = []
        return answers[0] if len(answers) == 1 else b"".join(answers)


class Conversation:
    """Serves one stream."""

    __slots__ = ("_idle", "_moved", "_questions", "_sending", "_stream")

    def __init__(self, stream: Stream, begin: Begin, idle: float = DNS_IDLE) -> None:
        """`idle`: after so many seconds of silence it is over."""
        self._stream = stream
        self._idle = idle
        self._questions = Questions(begin, self._answered)
        self._moved = Gate()
        self._sending = False

    def run(self) -> None:
        """Answer until the client has ended and has got all, or says nothing for too long. The caller closes.

        Raises ProtocolError when it ends within a message, and StreamClosed.
        """
        questions = self._questions
        while True:
            data = self._hear()
            if not data:
                break
            questions.feed(data)
            self._send()
            while questions.full:
                self._moved.wait()
                questions.feed(b"")
                self._send()
        while questions.busy:
            self._moved.wait()
            self._send()
        if questions.cut:
            raise ProtocolError("the stream ended inside a DNS message", reason="truncated")

    def _hear(self) -> bytes:
        """What comes next; nothing at the end, and after a long silence."""
        silence = StreamClosed("no question for too long", reason="idle")
        try:
            with deadline(self._idle, silence):
                return self._stream.recv()
        except StreamClosed as why:
            if why is silence:
                return b""
            raise

    def _send(self) -> None:
        """Send what is ready, unless somebody is at it. Raises StreamClosed."""
        if self._sending:
            return
        self._sending = True
        try:
            while data := self._questions.take():
                with deadline(HANDSHAKE_TIMEOUT, StreamClosed("the answers are not taken", reason="timeout")):
                    self._stream.sendall(data)
        finally:
            self._sending = False

    def _answered(self) -> None:
        try:
            self._send()
        except StreamClosed:
            self._stream.abort()  # whoever reads it hears so
        finally:
            self._moved.open()
