"""A resolver for tests: it knows what it is told, at once or after a wait."""

from __future__ import annotations

from functools import partial

from gproxy.base.address import IP
from gproxy.base.errors import DialError, ProtocolError
from gproxy.base.iface import Later
from gproxy.base.session import DEFAULT_LOOKUP, LookupOptions, Session
from gproxy.rt.sync import Event
from gproxy.wire.dns import types
from gproxy.wire.dns.message import Edns, Message, Question, Record, error_reply, make_query, parse, parse_query
from gproxy.wire.dns.name import encode_name

ADDRESS = b"\xc0\x00\x02\x01"
OTHER = b"\xc6\x33\x64\x01"


class FakeNames:
    """Answers each question with the same address; for names below `big` with so much that no datagram holds it.

    Names below `slow` take until `go` is set, below `none` there is nothing, below `silent` there is no answer.
    """

    def __init__(self, ttl: int = 60) -> None:
        self.ttl = ttl
        self.go = Event()
        self.same = True
        self.address = ADDRESS
        self.queries: list[bytes] = []
        self.sessions: list[Session] = []

    def lookup(self, domain: str, session: Session, how: LookupOptions = DEFAULT_LOOKUP, /) -> tuple[IP, ...]:
        raise DialError(f"{domain}: nobody looks it up", reason="dns")

    def exchange(self, query: bytes, session: Session, /) -> bytes:
        if "slow" in _name(query):
            self.go.wait()
        return self._answer(query, session)

    def begin(self, query: bytes, session: Session, /) -> bytes | Later:
        slow = "slow" in _name(query)
        return partial(self.exchange, query, session) if slow else self._answer(query, session)

    def alike(self, inbound: str, /) -> bool:
        return self.same

    def _answer(self, query: bytes, session: Session) -> bytes:
        self.queries.append(query)
        self.sessions.append(session)
        try:
            asked = parse_query(query)
        except ProtocolError:
            return error_reply(query, types.FORMERR)
        assert asked.question is not None
        labels = asked.question.name.split(".")
        if "silent" in labels:
            return b""
        count = 200 if "big" in labels else 1
        reply = Message(
            asked.id, True, recursion_desired=asked.recursion_desired, recursion_available=True,
            question=asked.question, edns=None if asked.edns is None else Edns(),
            answer=tuple(
                Record(asked.question.name, types.A, self.ttl, self.address[:3] + bytes([number]))
                for number in range(1, count + 1)
            ),
        )  # fmt: skip
        if "none" in labels:
            reply.answer, reply.rcode = (), types.NXDOMAIN
        written = reply.encode()
        end = 16 + len(encode_name(asked.question.name))
        return written[:12] + query[12:end] + written[end:]


def _name(query: bytes) -> str:
    return query[12:].decode("latin-1")


def query_for(name: str, kind: int = types.A, *, number: int = 7, edns: Edns | None = None) -> bytes:
    """A query as a client sends it."""
    return number.to_bytes(2, "big") + make_query(name, kind, edns=edns)[2:]


def addresses(answer: bytes) -> list[bytes]:
    """What the answer says."""
    return [record.data for record in parse(answer).answer if record.type == types.A]


def framed(*messages: bytes) -> bytes:
    """Messages as they stand on a stream."""
    return b"".join(len(message).to_bytes(2, "big") + message for message in messages)


def question_of(answer: bytes) -> Question | None:
    """What the answer repeats of its query."""
    return parse(answer).question
