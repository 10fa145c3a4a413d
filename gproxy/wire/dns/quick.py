"""Answers that are given again as they are: for a question that was asked before in just the same octets.

All but the id of a query is the key. The answer's records lose a second of their time to live with each one that
passes, and nothing is given for longer than a few seconds: after that, whoever knows the rules is asked anew.
"""

from __future__ import annotations

from typing import Final

from gproxy.base.errors import ProtocolError
from gproxy.wire.dns.message import HEAD, TRUNCATED
from gproxy.wire.dns.prepared import Prepared, prepare

LONGEST: Final = 5
"""Seconds for which an answer is given again."""

MOST: Final = 4096
"""How many answers are kept; each of them has the length of a datagram."""

_OPT: Final = b"\0\0\x29"


class _Entry:
    __slots__ = ("_born", "_flags", "_life", "_opt", "_prepared", "_ttl", "body", "until")

    def __init__(self, prepared: Prepared, flags: int, opt: bytes, answer: bytes, at: float) -> None:
        self._prepared = prepared
        self._flags = flags
        self._opt = opt
        self._ttl = prepared.ttl
        self._born = at
        self._life = min(prepared.ttl, LONGEST)
        self.body = answer[2:]
        self.until = at + 1

    def renewed(self, at: float) -> bool:
        """Let the seconds that have passed count; whether it is still good."""
        age = int(at - self._born)
        if age >= self._life:
            return False
        prepared = self._prepared
        self.body = prepared.answer(0, prepared.question, self._flags, self._ttl - age, self._opt)[2:]
        self.until = self._born + age + 1
        return True


class Quick:
    """The answers of one socket. When there are too many, the one that is here longest goes."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: dict[bytes, _Entry] = {}

    def get(self, query: bytes, at: float) -> bytes | None:
        """The answer to a query at this time, in seconds of any clock that never goes back."""
        entry = self._entries.get(query[2:])
        if entry is None:
            return None
        if at >= entry.until and not entry.renewed(at):
            del self._entries[query[2:]]
            return None
        return query[:2] + entry.body

    def put(self, query: bytes, answer: bytes, at: float) -> None:
        """Keep an answer, if it is one that may be given again: a whole one that is good for a second at least."""
        try:
            prepared = prepare(answer)
        except ProtocolError:
            return
        flags = int.from_bytes(answer[2:4], "big")
        plain = prepared.answer(0, prepared.question, flags, prepared.ttl)
        opt = answer[len(plain) :]
        if not prepared.lasting or prepared.ttl < 1 or flags & TRUNCATED or (opt and not opt.startswith(_OPT)):
            return
        if prepared.question != query[HEAD : HEAD + len(prepared.question)]:
            return
        entries = self._entries
        if len(entries) >= MOST:
            del entries[next(iter(entries))]
        entries[query[2:]] = _Entry(prepared, flags, opt, answer, at)

    def __len__(self) -> int:
        return len(self._entries)
