"""Answers that are given again and again: read once, then written by putting an id, a question and a TTL into place.

    id | flags | counts | question | … | TTL | … | TTL | …

All records of such an answer have the same TTL, the least of theirs, so that nothing of it is kept longer than the
whole may be. What stands between the TTLs is kept as it came; the OPT record is taken out, since that is each asker's.
"""

from __future__ import annotations

import struct
from typing import Final

from gproxy.base.errors import ProtocolError
from gproxy.wire.dns import types
from gproxy.wire.dns.message import (
    AUTHENTIC,
    CHECKING_DISABLED,
    HEAD,
    MAX_TTL,
    RECURSION_DESIRED,
    RESPONSE,
    TRUNCATED,
    parse,
)
from gproxy.wire.dns.name import skip_name

_HEAD = struct.Struct("!HHHHHH")
_FIXED = struct.Struct("!HHIH")
_ANY: Final = types.ANY.to_bytes(2, "big")
_ASKERS: Final = RECURSION_DESIRED | CHECKING_DISABLED  # what an answer repeats of its query's flags


class Prepared:
    """An answer without its id.

    `rcode`: all twelve bits. `ttl`: seconds that the whole answer is good for, as RFC 2308 has it for negative ones.
    `negative`: it says that there is no such name, or nothing of that type. `lasting`: whether it may be remembered:
    NOERROR and NXDOMAIN may, but where there is nothing, an SOA record must say how long. `question`: name, type and
    class as they stand in the answer. `size`: about how many bytes of memory it takes.
    """

    __slots__ = ("_counts", "_flags", "_pieces", "lasting", "negative", "question", "rcode", "size", "ttl")

    def __init__(
        self,
        flags: int,
        counts: tuple[int, int, int, int],
        question: bytes,
        pieces: tuple[bytes, ...],
        *,
        rcode: int,
        ttl: int,
        negative: bool,
        lasting: bool,
        size: int,
    ) -> None:
        self._flags = flags & ~_ASKERS
        self._counts = counts
        self._pieces = pieces
        self.question = question
        self.rcode = rcode
        self.ttl = ttl
        self.negative = negative
        self.lasting = lasting
        self.size = size + 40 * len(pieces) + 300

    def answer(self, number: int, question: bytes, flags: int, ttl: int, opt: bytes = b"") -> bytes:
        """The whole answer to a query with this id (`number`) and flags, its records' TTL being `ttl`.

        `question` is what the client wrote, which may differ from the answer's own in its letters' case alone. RD and
        CD are repeated; AD is said only to who sent it (RFC 6840 section 5.7): set it too for a query with DO. `opt` is
        the OPT record that this client gets, or nothing.
        """
        answered = self._flags | flags & _ASKERS
        if not flags & AUTHENTIC:
            answered &= ~AUTHENTIC
        questions, answers, authorities, additionals = self._counts
        if opt:
            additionals += 1
        return b"".join(
            (
                _HEAD.pack(number, answered, questions, answers, authorities, additionals),
                question,
                ttl.to_bytes(4, "big").join(self._pieces),
                opt,
            )
        )


def prepare(answer: bytes) -> Prepared:
    """Read a whole answer. Raises ProtocolError, also for a query, a truncated answer, and one without a question."""
    size = len(answer)
    if size < HEAD:
        raise ProtocolError("a DNS message that is cut off")
    _, flags, questions, answers, authorities, additionals = _HEAD.unpack_from(answer)
    if flags & (RESPONSE | TRUNCATED) != RESPONSE or questions != 1:
        raise ProtocolError("not a whole DNS answer to one question")
    asked_at = skip_name(answer, HEAD)
    at = start = asked_at + 4
    asked = answer[asked_at : asked_at + 2]
    pieces: list[bytes] = []
    piece = at
    least = MAX_TTL
    found = False
    minimum = -1
    rcode = flags & 0xF
    unpack = _FIXED.unpack_from
    before_additional = answers + authorities
    try:
        for index in range(before_additional + additionals):
            first = answer[at]
            at = at + 2 if first >= 0xC0 else skip_name(answer, at) if first else at + 1
            kind, _, ttl, length = unpack(answer, at)
            if kind == types.OPT:
                if index != before_additional + additionals - 1 or index < before_additional:
                    return _rewritten(answer)
                rcode |= ttl >> 24 << 4
                if at + 10 + length != size:
                    raise ProtocolError("bytes behind a DNS message")
                size = at - 1  # the root's name stands before it
                at = size
                additionals -= 1
                break
            pieces.append(answer[piece : at + 4])
            piece = at + 8
            if ttl < least or ttl > MAX_TTL:
                least = ttl if ttl <= MAX_TTL else 0
            if index < answers:
                found = found or answer[at : at + 2] == asked
                at += 10 + length
                continue
            at += 10 + length
            if kind == types.SOA and index < before_additional:
                minimum = _minimum(answer, at - length, at)
    except (IndexError, struct.error):
        raise ProtocolError("a DNS record that is cut off") from None
    if at != size:
        raise ProtocolError("a DNS message that does not end where it says")
    pieces.append(answer[piece:size])
    found = found or (asked == _ANY and answers > 0)
    negative = rcode == types.NXDOMAIN or (rcode == types.NOERROR and not found)
    if negative and minimum >= 0:
        least = min(least, minimum)
    return Prepared(
        flags,
        (questions, answers, authorities, additionals),
        answer[HEAD:start],
        tuple(pieces),
        rcode=rcode,
        ttl=least if pieces[1:] else 0,
        negative=negative,
        lasting=rcode in (types.NOERROR, types.NXDOMAIN) and (minimum >= 0 or not negative),
        size=size,
    )


def _minimum(answer: bytes, start: int, end: int) -> int:
    """How long there is nothing, as the SOA record says (RFC 2308 section 4)."""
    if end > len(answer) or end - start < 22:
        raise ProtocolError("a bad SOA record")
    return min(int.from_bytes(answer[end - 4 : end], "big"), MAX_TTL)


def _rewritten(answer: bytes) -> Prepared:
    """For an OPT record that isn't the last one: pointers may lead past it."""
    message = parse(answer)
    rcode = message.rcode
    message.edns = None
    message.rcode &= 0xF
    try:
        prepared = prepare(message.encode())
    except ValueError as error:
        raise ProtocolError("a DNS message that is too long without compression") from error
    prepared.rcode = rcode
    prepared.lasting = prepared.lasting and rcode <= 0xF
    return prepared
