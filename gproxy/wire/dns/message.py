"""DNS messages (RFC 1035 section 4) with the extensions of EDNS (RFC 6891).

    0       2       4       6       8       10      12
    +-------+-------+-------+-------+-------+-------+-----------------+----------------------------
    | id    | flags | 1     | answ. | auth. | add.  | name type class | records of three sections
    +-------+-------+-------+-------+-------+-------+-----------------+----------------------------
    flags   QR | opcode 4 | AA | TC | RD | RA | 0 | AD | CD | rcode 4
    record  name | type 2 | class 2 | ttl 4 | length 2 | data
    OPT     00 | 41 | size 2 | rcode 1 | version 1 | DO, 15 zeros | length 2 | ( code 2 | length 2 | data ) ...

A message has one question or, in some answers, none. There is one OPT record at most, among the additional ones; here
it is no record, but `Message.edns`, and its part of the response code is in `Message.rcode`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, NamedTuple

from gproxy.base.address import IP, ip_from_packed
from gproxy.base.errors import ProtocolError, Unsupported
from gproxy.wire.dns import types
from gproxy.wire.dns.name import encode_name, read_name, read_wire_name, skip_name

MAX_MESSAGE: Final = 65535
"""Octets of the longest message."""

HEAD: Final = 12
"""Octets of the head."""

LEAST_SIZE: Final = 512
"""Octets of a datagram that everybody takes, without EDNS."""

RESPONSE: Final = 0x8000
AUTHORITATIVE: Final = 0x0400
TRUNCATED: Final = 0x0200
RECURSION_DESIRED: Final = 0x0100
RECURSION_AVAILABLE: Final = 0x0080
AUTHENTIC: Final = 0x0020
CHECKING_DISABLED: Final = 0x0010
_OPCODE: Final = 0x7800

_HEAD = struct.Struct("!HHHHHH")
_FIXED = struct.Struct("!HHIH")  # of a record: type, class, ttl, length
_PAIR = struct.Struct("!HH")
_DO: Final = 0x8000
_MOST_ASKED: Final = 8  # records of a query: OPT, TSIG and the like
_ADDITIONAL: Final = 2  # the section
_OPT_BEGINS: Final = b"\0\x00\x29"  # the root, and the type

MAX_TTL: Final = 0x7FFFFFFF
"""Seconds: larger ones count as none (RFC 2181 section 8)."""


class Question(NamedTuple):
    """What is asked: name as in `gproxy.wire.dns.name`."""

    name: str
    type: int
    cls: int = types.IN


class Record(NamedTuple):
    """One resource record. `ttl` in seconds; the names in `data` are uncompressed."""

    name: str
    type: int
    ttl: int
    data: bytes
    cls: int = types.IN


class Edns(NamedTuple):
    """What an OPT record says: the largest datagram that its sender takes, whether it wants DNSSEC records, options."""

    size: int = 1232
    do: bool = False
    version: int = 0
    options: tuple[tuple[int, bytes], ...] = ()


@dataclass(slots=True)
class Message:
    """A query or an answer. `rcode` has all twelve bits; those above four need `edns`."""

    id: int = 0
    response: bool = False
    opcode: int = types.QUERY
    authoritative: bool = False
    truncated: bool = False
    recursion_desired: bool = True
    recursion_available: bool = False
    authentic: bool = False
    checking_disabled: bool = False
    rcode: int = types.NOERROR
    question: Question | None = None
    answer: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()
    edns: Edns | None = None

    def encode(self) -> bytes:
        """The message on the wire, its names compressed. Raises ValueError for what can't be written or is too long."""
        return _encode(self)


def parse(data: bytes) -> Message:
    """Read a whole message. Raises ProtocolError, also for bytes behind it and for more than one question.

    A datagram that says it is truncated may end anywhere: look at that first, in the flags.
    """
    if len(data) < HEAD:
        raise ProtocolError("a DNS message that is cut off")
    number, flags, questions, answers, authorities, additionals = _HEAD.unpack_from(data)
    seen: dict[int, str] = {}
    at = HEAD
    question = None
    if questions:
        if questions > 1:
            raise ProtocolError("a DNS message with several questions")
        name, end = read_name(data, at)
        seen[at] = name
        at = end + 4
        if at > len(data):
            raise ProtocolError("a DNS message that is cut off")
        question = Question(name, *_PAIR.unpack_from(data, end))
    answer, at = _records(data, at, answers, seen)
    authority, at = _records(data, at, authorities, seen)
    additional, at = _records(data, at, additionals, seen)
    if at != len(data):
        raise ProtocolError("bytes behind a DNS message")
    edns = None
    rcode = flags & 0xF
    if any(record.type == types.OPT for record in additional):
        edns, more = _edns(additional)
        additional = tuple([record for record in additional if record.type != types.OPT])
        rcode |= more << 4
    for record in answer + authority:
        if record.type == types.OPT:
            raise ProtocolError("an OPT record out of place")
    return Message(
        number,
        flags & RESPONSE != 0,
        flags >> 11 & 0xF,
        flags & AUTHORITATIVE != 0,
        flags & TRUNCATED != 0,
        flags & RECURSION_DESIRED != 0,
        flags & RECURSION_AVAILABLE != 0,
        flags & AUTHENTIC != 0,
        flags & CHECKING_DISABLED != 0,
        rcode,
        question,
        answer,
        authority,
        additional,
        edns,
    )


def parse_query(data: bytes) -> Message:
    """Read a client's message: one question, few records. Raises ProtocolError; Unsupported for other opcodes."""
    if len(data) < HEAD:
        raise ProtocolError("a DNS message that is cut off")
    _, flags, _, *counts = _HEAD.unpack_from(data)
    if flags & RESPONSE:
        raise ProtocolError("a DNS answer instead of a query")
    if flags & _OPCODE:
        raise Unsupported(f"DNS opcode {flags >> 11 & 0xF}", reason="opcode")
    if sum(counts) > _MOST_ASKED:
        raise ProtocolError("a DNS query with many records")
    message = parse(data)
    if message.question is None:
        raise ProtocolError("a DNS query without a question")
    return message


def parse_record(data: bytes) -> Record:
    """Read one uncompressed record, and nothing else. Raises ProtocolError."""
    records, end = _records(bytes(HEAD) + data, HEAD, 1, {})
    if end != HEAD + len(data):
        raise ProtocolError("bytes behind a DNS record")
    return records[0]


def make_query(
    name: str,
    type: int,  # noqa: A002 - the field's word
    *,
    cls: int = types.IN,
    edns: Edns | None = None,
    recursion_desired: bool = True,
    authentic: bool = False,
    checking_disabled: bool = False,
) -> bytes:
    """A query with the id 0. Raises ValueError for a bad name."""
    opt = b"" if edns is None else encode_opt(edns)
    head = query_head(
        recursion_desired=recursion_desired,
        authentic=authentic,
        checking_disabled=checking_disabled,
        additional=1 if opt else 0,
    )
    return head + encode_name(name) + _PAIR.pack(type, cls) + opt


def query_head(*, recursion_desired: bool, authentic: bool, checking_disabled: bool, additional: int) -> bytes:
    """The head of a query with the id 0, one question, and so many additional records."""
    flags = (
        (RECURSION_DESIRED if recursion_desired else 0)
        | (AUTHENTIC if authentic else 0)
        | (CHECKING_DISABLED if checking_disabled else 0)
    )
    return _HEAD.pack(0, flags, 1, 0, 0, additional)


def error_reply(query: bytes, rcode: int) -> bytes:
    """An answer with no records to a message, however broken; empty where nothing may be answered.

    It repeats the question, if there is one to be read, and has an OPT record if the query had, or the code needs one.
    """
    if len(query) < HEAD or query[2] & 0x80:
        return b""
    number, flags, questions, *_ = _HEAD.unpack_from(query)
    question = b""
    opt = b""
    if questions == 1:
        try:
            end = skip_name(query, HEAD) + 4
        except ProtocolError:
            end = len(query) + 1
        if end <= len(query):
            question = query[HEAD:end]
    if rcode > 0xF or _has_edns(query):
        opt = encode_opt(Edns(), rcode)
    flags = flags & (_OPCODE | RECURSION_DESIRED | CHECKING_DISABLED) | RESPONSE | RECURSION_AVAILABLE | rcode & 0xF
    return _HEAD.pack(number, flags, 1 if question else 0, 0, 0, 1 if opt else 0) + question + opt


def encode_opt(edns: Edns, rcode: int = types.NOERROR) -> bytes:
    """The OPT record. Of the response code it has the bits above four. Raises ValueError for options too long."""
    try:
        options = b"".join([_PAIR.pack(code, len(data)) + data for code, data in edns.options])
        ttl = (rcode >> 4 & 0xFF) << 24 | edns.version << 16 | (_DO if edns.do else 0)
        return b"\0" + _FIXED.pack(types.OPT, edns.size, ttl, len(options)) + options
    except struct.error as error:
        raise ValueError(f"not a possible OPT record: {edns}") from error


def truncate(answer: bytes, limit: int) -> bytes:
    """The answer, if it has `limit` octets at most; else as much of it as fits, whole records only.

    What is left out of the additional section is not missed (RFC 2181 section 9); for all else TC is set. The OPT
    record stays. Raises ProtocolError for what is no message.
    """
    if len(answer) <= limit:
        return answer
    if len(answer) < HEAD:
        raise ProtocolError("a DNS message that is cut off")
    number, flags, questions, *counts = _HEAD.unpack_from(answer)
    at = HEAD
    for _ in range(questions):
        at = skip_name(answer, at) + 4
    whole = at
    ends: list[tuple[int, int]] = []  # of all records before the OPT record: section, and where each ends
    opt = b""
    for section in [section for section, count in enumerate(counts) for _ in range(count)]:
        start, at = at, _skip_record(answer, at)
        if section == _ADDITIONAL and answer[start : start + 3] == _OPT_BEGINS:
            opt = answer[start:at]
            break
        ends.append((section, at))
    kept = [0, 0, 0]
    for section, end in ends:
        if end > limit - len(opt):
            break
        kept[section] += 1
        whole = end
    if kept[0] < counts[0] or kept[1] < counts[1]:
        flags |= TRUNCATED
    kept[_ADDITIONAL] += 1 if opt else 0
    return _HEAD.pack(number, flags, questions, *kept) + answer[HEAD:whole] + opt


def addresses_of(message: Message) -> tuple[IP, ...]:
    """The addresses that the answer has for the name in question, along its aliases (CNAME), in the answer's order."""
    if message.question is None:
        return ()
    aliases: dict[str, str] = {}
    found: dict[str, list[IP]] = {}
    for record in message.answer:
        if record.type == types.CNAME:
            aliases.setdefault(record.name, read_name(record.data, 0)[0])
        elif (record.type, len(record.data)) in ((types.A, 4), (types.AAAA, 16)):
            found.setdefault(record.name, []).append(ip_from_packed(record.data))
    name: str | None = message.question.name
    while name is not None and name not in found:
        name = aliases.pop(name, None)
    return () if name is None else tuple(found[name])


def _skip_record(message: bytes, at: int) -> int:
    at = skip_name(message, at)
    if at + _FIXED.size > len(message):
        raise ProtocolError("a DNS record that is cut off")
    at += _FIXED.size + int.from_bytes(message[at + 8 : at + 10], "big")
    if at > len(message):
        raise ProtocolError("a DNS record that is cut off")
    return at


def _records(message: bytes, at: int, count: int, seen: dict[int, str]) -> tuple[tuple[Record, ...], int]:
    """The records of one section. `seen` are names by their offsets, for the pointers that most records begin with."""
    if not count:
        return (), at
    records: list[Record] = []
    try:
        for _ in range(count):
            if message[at] >= 0xC0:
                target = (message[at] & 0x3F) << 8 | message[at + 1]
                if target >= at:
                    raise ProtocolError("a name with a bad pointer")
                known = seen.get(target)
                if known is None:
                    known = seen[target] = read_name(message, at)[0]
                name = known
                at += 2
            else:
                start = at
                name, at = read_name(message, at)
                seen[start] = name
            kind, cls, ttl, length = _FIXED.unpack_from(message, at)
            at += 10
            end = at + length
            if end > len(message):
                raise ProtocolError("a DNS record that is cut off")
            if kind in _NAMED:
                data = _expand(message, at, end, _NAMED[kind])
            else:
                data = message[at:end]
            records.append(Record(name, kind, ttl, data, cls))
            at = end
    except (IndexError, struct.error):
        raise ProtocolError("a DNS record that is cut off") from None
    return tuple(records), at


# Where names stand in the data of records whose senders may compress them, RFC 3597 section 4 and those it names:
# how many octets before the first name, how many names one after another. What is behind them is taken as it is.
# Only the names of RFC 1035's own types are compressed when they are written.
_NAMED: Final[dict[int, tuple[int, int]]] = {
    **dict.fromkeys((types.NS, types.MD, types.MF, types.CNAME, types.MB, types.MG, types.MR, types.PTR), (0, 1)),
    types.SOA: (0, 2),
    types.MINFO: (0, 2),
    types.MX: (2, 1),
    types.RP: (0, 2),
    types.AFSDB: (2, 1),
    types.RT: (2, 1),
    types.SIG: (18, 1),
    types.PX: (2, 2),
    types.NXT: (0, 1),
    types.SRV: (6, 1),
    types.KX: (2, 1),
    types.DNAME: (0, 1),
}
_COMPRESSED: Final = frozenset(
    {types.NS, types.CNAME, types.SOA, types.MB, types.MG, types.MR, types.PTR, types.MINFO, types.MX}
)


def _expand(message: bytes, at: int, end: int, where: tuple[int, int]) -> bytes:
    """A record's data with its names uncompressed."""
    before, names = where
    parts = [message[at : at + before]]
    at += before
    for _ in range(names):
        name, at = read_wire_name(message, at)
        parts.append(name)
    if at > end:
        raise ProtocolError("a name that leaves its DNS record")
    parts.append(message[at:end])
    return b"".join(parts)


def _edns(additional: tuple[Record, ...]) -> tuple[Edns, int]:
    """What the one OPT record says, and its bits of the response code."""
    opts = [record for record in additional if record.type == types.OPT]
    if len(opts) > 1 or opts[0].name:
        raise ProtocolError("a bad OPT record")
    _, _, ttl, data, size = opts[0]
    options: list[tuple[int, bytes]] = []
    at = 0
    while at < len(data):
        if at + 4 > len(data):
            raise ProtocolError("an option that is cut off")
        code, length = _PAIR.unpack_from(data, at)
        at += 4 + length
        if at > len(data):
            raise ProtocolError("an option that is cut off")
        options.append((code, data[at - length : at]))
    return Edns(size, ttl & _DO != 0, ttl >> 16 & 0xFF, tuple(options)), ttl >> 24


def _has_edns(query: bytes) -> bool:
    try:
        return parse_query(query).edns is not None
    except ProtocolError:
        return False


def _encode(message: Message) -> bytes:
    if message.rcode > 0xF and message.edns is None:
        raise ValueError("a response code that needs an OPT record")
    flags = (
        (RESPONSE if message.response else 0)
        | message.opcode << 11
        | (AUTHORITATIVE if message.authoritative else 0)
        | (TRUNCATED if message.truncated else 0)
        | (RECURSION_DESIRED if message.recursion_desired else 0)
        | (RECURSION_AVAILABLE if message.recursion_available else 0)
        | (AUTHENTIC if message.authentic else 0)
        | (CHECKING_DISABLED if message.checking_disabled else 0)
        | message.rcode & 0xF
    )
    sections = (message.answer, message.authority, message.additional)
    try:
        out = bytearray(
            _HEAD.pack(
                message.id,
                flags,
                message.question is not None,
                len(message.answer),
                len(message.authority),
                len(message.additional) + (message.edns is not None),
            )
        )
        places: dict[bytes, int] = {}
        if message.question is not None:
            name, kind, cls = message.question
            _write_name(out, encode_name(name), places)
            out += _PAIR.pack(kind, cls)
        for section in sections:
            for record in section:
                _write_record(out, record, places)
    except (struct.error, ProtocolError) as error:
        raise ValueError(f"a DNS message that can't be written: {error}") from error
    if message.edns is not None:
        out += encode_opt(message.edns, message.rcode)
    if len(out) > MAX_MESSAGE:
        raise ValueError(f"a DNS message of more than {MAX_MESSAGE} octets")
    return bytes(out)


def _write_record(out: bytearray, record: Record, places: dict[bytes, int]) -> None:
    name, kind, ttl, data, cls = record
    _write_name(out, encode_name(name), places)
    if kind not in _COMPRESSED:
        out += _FIXED.pack(kind, cls, ttl, len(data))
        out += data
        return
    out += _FIXED.pack(kind, cls, ttl, 0)
    start = len(out)
    before, names = _NAMED[kind]
    out += data[:before]
    at = before
    for _ in range(names):
        inner, at = read_wire_name(data, at)
        _write_name(out, inner, places)
    out += data[at:]
    out[start - 2 : start] = (len(out) - start).to_bytes(2, "big")


def _write_name(out: bytearray, name: bytes, places: dict[bytes, int]) -> None:
    """Write an uncompressed name, as a pointer as far as it stands in the message already, in the same case."""
    at = 0
    while name[at]:
        rest = name[at:]
        place = places.get(rest)
        if place is not None:
            out += (0xC000 | place).to_bytes(2, "big")
            return
        if len(out) < 0x4000:
            places[rest] = len(out)
        length = name[at] + 1
        out += name[at : at + length]
        at += length
    out.append(0)
