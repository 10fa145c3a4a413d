"""The few abstractions that the rooms are built from.

Promises of a Stream, which one conformance suite checks on every implementation: one reader and one writer at a time;
bytes in order; the end is sticky; half-close never blocks the other way; closing wakes whoever waits with StreamClosed;
the caller's buffer is not kept after `sendall` returns. There are no timeout arguments: deadlines are scopes
(`gproxy.rt.deadline`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from gproxy.base.address import IP, Address
from gproxy.base.errors import GproxyError
from gproxy.base.session import DEFAULT_LOOKUP, LookupOptions, Session

Buffer = bytes | bytearray | memoryview


class Stream(Protocol):
    """Bytes in order, both ways."""

    def recv(self) -> bytes:
        """The next bytes, naturally sized and the caller's own; empty = the end, for ever. Raises StreamClosed."""

    def sendall(self, data: Buffer, /) -> None:
        """Send everything, waiting while the other side is slow. Raises StreamClosed."""

    def close_write(self) -> None:
        """Say that no more will be sent: idempotent and quiet."""

    def close(self) -> None:
        """End both directions: idempotent, quiet, wakes both sides."""

    def abort(self) -> None:
        """Close so that the peer sees a reset where the transport can say so, and a close where it can't."""

    def take(self) -> bytes:
        """Bytes that were read ahead of their reader, given out without waiting; mostly empty."""

    def bare(self) -> int | None:
        """The descriptor, if nothing is buffered or transformed above it: the relay may then move bytes beneath us."""

    def record(self) -> Record | None:
        """How bytes are sealed and opened on the descriptor beneath, if that is all that lies between: the relay may
        then do it in batches. What was read ahead must have been taken. Afterwards the stream may only be ended.
        """

    def held(self) -> bool:
        """Whether a head waits to leave together with the first payload. Sending, even nothing, sends it."""

    def bound(self) -> Address | None:
        """Our own address on this stream, if it has one: what a proxy's reply tells the client."""


class Sealer(Protocol):
    """Payload into records, from buffer to buffer."""

    def room(self, size: int, /) -> int:
        """The most bytes that sealing `size` bytes makes now: not more than twice as many and 4 KiB."""

    def seal_into(self, source: Buffer, target: memoryview, /) -> int:
        """Seal all of `source` into `target`, which has `room` for it; how many bytes that made."""


class Opener(Protocol):
    """Records into payload, from buffer to buffer."""

    def open_into(self, source: memoryview, target: memoryview, /) -> tuple[int, int]:
        """Open the complete records at the beginning of `source`, as far as `target` holds them.

        How many bytes of the source were used up, and how many were made; what was not used is given again, with more
        behind it. A target as large as the source holds everything, or one that is RECORD_KEPT larger where records lie
        within records. Raises ProtocolError for bytes that no further ones can make right; nothing may be opened after
        that.
        """


class Ending(Protocol):
    """For records that have a word of their own for the end, as TLS has: what lies beneath may go on without it."""

    @property
    def heard(self) -> bool:
        """Whether the peer has said, in what was opened so far, that no more will come."""

    def say(self) -> bytes:
        """What tells the peer that no more will come; nothing when that was said before."""


class Answering(Protocol):
    """For records that want an answer of their own, as a WebSocket's pings do.

    The answers leave with whatever the stream's Sealer seals next, be it nothing. Who drives the stream sees to it that
    this is soon: before waiting for more from the peer, nothing is sealed and sent if an answer is due; while something
    is being sent at that moment, it is done right after that. Answers that nobody waits for any more are dropped, so
    that what is due is always one short record.
    """

    @property
    def due(self) -> bool:
        """Whether there is an answer to send. Never after the Ending's word."""


@dataclass(frozen=True, slots=True)
class Record:
    """A stream as the relay's batch pump sees it: a bare descriptor, and what is done to the bytes on it."""

    fd: int
    opener: Opener
    sealer: Sealer
    unopened: bytes  # sealed bytes that were read already
    ending: Ending | None = None
    answering: Answering | None = None
    midway: Callable[[], bool] = lambda: False  # whether what was opened so far ends inside a record
    depth: int = 0  # how many kinds of records lie beneath


class Happened(NamedTuple):
    """What the peer's frames have brought to a link that carries many streams."""

    kind: Literal["opened", "head", "data", "ended", "reset", "room", "closing"]
    stream: int  # which one; for `room` 0 means all of them; for `closing` the last one that the peer serves
    value: Any = b""  # `opened` and `head`: what the format says of a stream; `data`: bytes; `reset`, `closing`: why


class Multiplexer(Protocol):
    """The pure core of a link that carries many streams: frames in, frames out, and what time it is passed in.

    `gproxy.net.link` alone makes Streams of one. Nothing here waits, and all that is held is bounded: what the peer may
    send unasked by the format's windows, what is to be sent by whoever asks `room` before `send`, and answers that the
    peer provokes by the core itself, which raises ProtocolError when too many are due.

    Streams that the peer will not serve, as it says with `closing`, are `reset` besides. A `reset` after `ended` means
    that the peer takes no more, and nothing else. Calls for a stream that is over are quiet.
    """

    @property
    def due(self) -> bool:
        """Whether there are frames to be sent now."""

    def feed(self, data: bytes, /) -> Sequence[Happened]:
        """What the peer sent, in pieces of any size. Raises ProtocolError when it can't go on; `drain` may then still
        have a last word for the peer.
        """

    def drain(self) -> bytes:
        """All frames that are to be sent now, in their order; empty if there are none. Nothing is due after that."""

    def open(self, head: Any = None, /) -> int:
        """Begin a stream of ours; its number. Raises Overloaded when the link takes no more, now or ever."""

    def answer(self, stream: int, head: Any, /) -> None:
        """Say the head of the answer to the peer's stream, in formats that have one."""

    def room(self, stream: int, /) -> int:
        """How many bytes of the stream may be sent now: 0 until `room` has happened."""

    def send(self, stream: int, data: Buffer, /) -> None:
        """Make frames of the data, for which there must be room."""

    def end(self, stream: int, /) -> None:
        """Say that our side of the stream is over. Idempotent."""

    def close(self, stream: int, /) -> None:
        """Say that our side is over, and forget the stream: nothing more of it happens. All that has come so far was
        taken; should more come, the peer is told that nobody wants it. Idempotent.
        """

    def reset(self, stream: int, /) -> None:
        """Give the stream up, both ways: nothing more of it happens. Also after `end`. Idempotent."""

    def taken(self, stream: int, size: int, /) -> None:
        """The stream's reader has taken so many bytes of its data: the peer may send as many again."""

    def tick(self, at: float, /) -> float | None:
        """It is this late now, in seconds of `base.clock.now`: do what is due, such as a ping, and say when to be asked
        again; None: never. Raises ProtocolError when the peer has been silent for too long, with the reason `idle` when
        nobody has used the link for too long.
        """

    def goodbye(self) -> None:
        """Say that no more streams are taken. Idempotent."""


class PacketConn(Protocol):
    """Datagrams to and from many addresses. In the server direction: those of one client."""

    def recv_from(self) -> tuple[Buffer, Address]:
        """The next datagram and, server direction, where it shall go; client direction, where it came from.

        The buffer is the caller's until its next call. Raises StreamClosed when closed.
        """

    def send_to(self, data: Buffer, to: Address, /) -> None:
        """Send one datagram (client direction: to `to`; server direction: as an answer from `to`).

        A datagram that can't be sent now is lost, as datagrams are. Raises StreamClosed when closed, and DialError when
        `to` can't be reached at all.
        """

    def close(self) -> None:
        """Idempotent and quiet; wakes whoever waits."""


Take = Callable[[Buffer, Address], bool]
"""Takes a datagram where it arrives, in the hub: it neither waits nor raises. False: it wants it from `recv_from`."""


@runtime_checkable
class Prompt(Protocol):
    """A PacketConn that needs no greenlet for each datagram."""

    def offer(self, take: Take | None, /) -> None:
        """From now on offer each datagram to `take`; None: no more. `recv_from` gives out those that it does not want,
        and tells the end.
        """

    def prompt(self, to: Address, /) -> bool:
        """Whether sending to this address never waits."""


Accept = Callable[[Stream, Session], None]
"""Server direction: take a stream and serve it; returns when it is over. The caller closes the stream."""

AcceptPackets = Callable[[PacketConn, Session], None]
"""Server direction: take one client's datagrams and serve them; returns when they are over."""

Admit = Callable[[bytes, str], bool]
"""Server direction: whether a datagram, from the host of that address, may begin a session."""

Branch = Callable[[Accept, Stream, Session], None]
"""Server direction: serve one of the streams that the session's own stream carries. It becomes a session of its own,
with what is known of that one and an id of its own, and is closed when it is over. Never raises."""

Connect = Callable[[Session], Stream]
"""Client direction: bring a stream to the server of this outbound. Raises DialError."""


class ServerLayer(Protocol):
    """What is put around a protocol in the server direction: one stream to one (TLS) or to many (mux)."""

    def accepting(self, then: Accept) -> Accept: ...


class ClientLayer(Protocol):
    """What is put around a protocol in the client direction; it may pool."""

    def connecting(self, via: Connect) -> Connect: ...


Lookup = Callable[[str, Session], tuple[IP, ...]]
"""The addresses of a domain, in the order in which they are to be tried; never none. Raises DialError."""


Later = Callable[[], bytes]
"""What waits for an answer and gives it; nothing where there is none. It is called once, outside of the hub."""


class Soon(ABC):
    """A Later that may get its answer without a greenlet that waits for it."""

    __slots__ = ()

    @abstractmethod
    def soon(self, ready: Callable[[], object], /) -> bool:
        """Begin, if that is so. `ready` is called once, later on and often in the hub, as soon as it won't wait.

        Then it has to be called, and may be in the hub. It is for whoever makes one; False needs no more work.
        """

    @abstractmethod
    def __call__(self) -> bytes:
        """See Later."""


class Resolver(Protocol):
    """Names to addresses, and questions to answers, as the configuration's `dns` says."""

    def lookup(self, domain: str, session: Session, how: LookupOptions = DEFAULT_LOOKUP, /) -> tuple[IP, ...]:
        """The addresses of a domain, in the order in which they are to be tried; never none.

        Raises DialError, by itself with the reason `dns`, and Rejected.
        """

    def exchange(self, query: bytes, session: Session, /) -> bytes:
        """The answer to a client's DNS message: to any, also to one that can't be served. Empty: it gets none.

        The answer is whole; who sends it by UDP cuts it (`gproxy.wire.dns`).
        """

    def begin(self, query: bytes, session: Session, /) -> bytes | Later:
        """The same, as far as it can be had without waiting, else what finds it. It may be called in the hub."""

    def alike(self, inbound: str, /) -> bool:
        """Whether all who ask by this inbound get the same answer to the same question, by what the rules look at now.

        Then whoever serves them may give an answer out again for some seconds, while it is good, without asking here.
        It is cheap, and asked anew for each answer that is kept.
        """


class Dialer(Protocol):
    """Whatever can reach a target: the system's sockets, a proxy, a group of proxies."""

    def dial(self, target: Address, session: Session) -> Stream:
        """A stream to `target`. Raises DialError; what was opened on the way is closed by then."""

    def dial_packet(self, target: Address, session: Session) -> PacketConn:
        """A packet connection that reaches `target` and, where the protocol can, any address. Raises DialError."""


class Outbound(Dialer, Protocol):
    """A configured dialer."""

    networks: frozenset[str]  # {"tcp"}, {"udp"} or both: what it can carry

    def close(self) -> None:
        """Give up pooled resources; live streams are their owners'."""


@dataclass(frozen=True, slots=True)
class StreamEntrance:
    """An inbound's door for streams."""

    accept: Accept
    kind: Literal["stream"] = "stream"


@dataclass(frozen=True, slots=True)
class PacketEntrance:
    """An inbound's door for datagrams: one call of `accept` for each client address.

    `admit`, if there is one, says whether a datagram, of a host that has no session yet, may begin one. It is called
    for each of them, so it must not wait.
    """

    accept: AcceptPackets
    admit: Admit | None = None
    kind: Literal["packet"] = "packet"


@dataclass(frozen=True, slots=True)
class QueryEntrance:
    """An inbound's door for datagrams that are answered one by one, each by itself: there are no sessions.

    `answer` takes a datagram and its sender's name as the kernel tells it, in the hub: it neither waits nor raises, and
    gives the answer, nothing where there is none, or what finds it. That is called in a greenlet of its own, of which
    so many run at once; when they are at their limit, datagrams are dropped and counted.
    """

    answer: Callable[[bytes, Any], bytes | Later]
    kind: Literal["packet"] = "packet"


Entrance = StreamEntrance | PacketEntrance | QueryEntrance


class Inbound(Protocol):
    """A configured server side of a protocol."""

    def entrances(self) -> Sequence[Entrance]: ...


@runtime_checkable
class Managed(Protocol):
    """An inbound whose users a service rules, if its options ask for it with `managed`."""

    def manage(self, users: Sequence[tuple[str, str]]) -> None:
        """From now on these are the users, each with name and password, and no others. Good ones: they are checked."""


class Reply(Protocol):
    """The client's own yes or no, given once. Neither call raises: the relay will notice a client that has gone."""

    @property
    def awaited(self) -> bool:
        """Whether the client says nothing of its own before it has got its yes."""

    def accept(self, bound: Address | None = None) -> None:
        """The target is reached; `bound` is our address towards it, if known."""

    def reject(self, why: GproxyError) -> None:
        """The target is not to be had."""


class Dispatcher(Protocol):
    """The heart: decides where a session goes, opens the way, moves the bytes. Both calls return when all is over."""

    def stream(self, session: Session, stream: Stream, reply: Reply) -> None:
        """Serve a stream. Never raises for what happens to the session: it is logged and counted here."""

    def packets(self, session: Session, conn: PacketConn) -> None:
        """Serve one client's datagrams."""


class ResetReply:
    """The reply of protocols that have none: a refused client gets a reset, as from a closed port."""

    __slots__ = ("_stream",)
    awaited = False

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def accept(self, bound: Address | None = None) -> None:
        """Nothing to say."""

    def reject(self, why: GproxyError) -> None:
        """See Reply."""
        self._stream.abort()
