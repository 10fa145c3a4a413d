"""Addresses that have to stay outside for a while, since they guess passwords or say what no client says.

    section "bans 1":
    +--------+------+-------+---------+
    | header | tags | until | records |     a tag, an end and a record for each prefix that has failed lately
    +--------+------+-------+---------+
    0        64 KiB

All workers share the table: who has failed at one of them, at whatever inbound, has failed at all. Failures are counted
in a window that slides by its sixteenth part. When there are enough of them the prefix is banned, each time for longer,
until it has been good for as long as the longest ban.

A row is one of the few that the keyed hash of its prefix names; when all of them are taken, the one is given up that
fails the longest ago, banned ones last. Whoever only looks takes no lock, and while nobody is banned it costs the
comparison of two numbers. Times are of the clock that never goes back, so that nobody's ban ends when the other one is
set; only what is kept in a file is told in that one.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from math import inf
from typing import Final, Literal, NamedTuple, get_args

from gproxy.base.address import IP
from gproxy.base.clock import now, wall
from gproxy.base.errors import AuthError, GproxyError, ProtocolError, ReplayError, Unsupported
from gproxy.limit.memory import KEY, PAGE, Memory, draw_key, tag_of
from gproxy.limit.sources import Prefixes

_log = logging.getLogger("gproxy.limit")

Network = IPv4Network | IPv6Network

Offence = Literal["auth", "replay", "malformed"]
"""A wrong password; a handshake that was seen before; one that is none."""

Reason = Literal["auth", "replay", "malformed", "manual"]
"""Why somebody is banned: what he did last, or because an administrator has said so."""

_REASONS: Final[tuple[Reason, ...]] = get_args(Reason)

# What an honest client runs into as well: nothing was said, the line was cut or slow, no password was shown yet.
_HONEST: Final = frozenset(("empty", "truncated", "timeout", "missing", "acme"))

# What has failed, but at something else than a password.
_NO_GUESS: Final = frozenset(("method", "server-name"))

ROWS: Final = 1 << 15
"""So many prefixes at most are known at a time."""

_WAYS: Final = 8
_EPOCH_AT: Final = 32  # counts the changes of who is banned
_TOTAL_AT: Final = 40  # how many bans there have been
_LATEST_AT: Final = 48  # when the last ban ends
_LOADED_AT: Final = 56  # whether somebody has put in what was kept in a file
_TOLD_AT: Final = 320  # bans that have ended by then were told
_LENGTHS_AT: Final = {4: 64, 6: 128}  # a byte for each length of a prefix, which is not 0 if there are bans of it
_TAGS_AT: Final = PAGE
_UNTIL_AT: Final = _TAGS_AT + ROWS * 8
_RECORDS_AT: Final = _UNTIL_AT + ROWS * 8

_SLICES: Final = 16
_RECORD = struct.Struct(f"=BBBxI16sddddQ{_SLICES}f")
_SIZE: Final = _RECORDS_AT + ROWS * _RECORD.size

# Weights are kept as small floating-point numbers, whose sums may miss what was meant by so much.
_NEARLY: Final = 1e-3

# After so many bans the next ones are no longer: that is beyond any longest one.
_STEPS: Final = 64


@dataclass(slots=True)
class _Record:
    """What is known of a prefix. Times are in seconds."""

    version: int
    bits: int
    reason: int
    times: int  # how often it has been banned
    prefix: bytes
    began: float = 0.0  # its last ban,
    length: float = 0.0  # which was so long
    last: float = 0.0  # when it has failed
    width: float = 0.0  # of a slice of the window
    number: int = 0  # of the newest slice
    sums: list[float] = field(default_factory=lambda: [0.0] * _SLICES)

    @property
    def network(self) -> Network:
        # Whoever only looks may see a record that is half written: that is a wrong prefix then, but always one.
        if self.version == 4:
            return IPv4Network((self.prefix[:4], min(self.bits, 32)), strict=False)
        return IPv6Network((self.prefix, min(self.bits, 128)), strict=False)


class Ban(NamedTuple):
    """Who is banned, for how many seconds more, for how many in all, and for which time."""

    network: Network
    left: float
    length: float
    times: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class Policy:
    """When somebody is banned: `tries` failures, by weight, within `window`. Times are in seconds."""

    tries: float = 5.0
    window: float = 600.0
    duration: float = 60.0
    growth: float = 4.0  # each further ban is so many times as long,
    longest: float = 86400.0  # but never longer
    prefix_ipv4: int = 32
    prefix_ipv6: int = 64
    weights: Mapping[Offence, float] = field(default_factory=lambda: {"auth": 1.0, "replay": 1.0, "malformed": 0.2})

    def next_length(self, times: int) -> float:
        """How long the next ban of somebody is, who was banned so many times."""
        return min(self.duration * self.growth ** min(times, _STEPS), self.longest)


def offence_of(why: GproxyError) -> Offence | None:
    """What it is that a client has failed with in its handshake; None if honest clients do so too."""
    if not isinstance(why, ProtocolError) or isinstance(why, Unsupported) or why.reason in _HONEST:
        return None
    if isinstance(why, ReplayError):
        return "replay"
    return "auth" if isinstance(why, AuthError) and why.reason not in _NO_GUESS else "malformed"


class BanTable:
    """The rows. Raises OSError."""

    def __init__(self, memory: Memory) -> None:
        self._section = memory.section("bans 1", _SIZE, draw_key)
        self._memory = view = memoryview(self._section.mapped)
        self._secret = bytes(view[:KEY])
        self._epoch = view[_EPOCH_AT : _EPOCH_AT + 8].cast("Q")
        self._total = view[_TOTAL_AT : _TOTAL_AT + 8].cast("Q")
        self._latest = view[_LATEST_AT : _LATEST_AT + 8].cast("d")
        self._loaded = view[_LOADED_AT : _LOADED_AT + 8].cast("Q")
        self._told = view[_TOLD_AT : _TOLD_AT + 8].cast("d")
        self._tags = view[_TAGS_AT:_UNTIL_AT].cast("Q")
        self._until = view[_UNTIL_AT:_RECORDS_AT].cast("d")
        self._seen = -1  # the epoch when the lengths were last looked at
        self._lengths: dict[int, list[int]] = {4: [], 6: []}
        self._looked = -1  # the epoch when ends were last looked for
        self._next_end = 0.0  # when the first of those that were found comes

    # -- looking -------------------------------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """Another number whenever somebody was banned, or is no more."""
        return self._epoch[0]

    @property
    def total(self) -> int:
        """How many bans there have been, of all processes."""
        return self._total[0]

    def holds(self, ip: IP) -> bool:
        """Whether an address is banned, by itself or with its prefix."""
        at = now()
        if at >= self._latest[0]:
            return False
        if self._epoch[0] != self._seen:
            self._look_at_lengths()
        version, number = ip.version, int(ip)
        for bits in self._lengths[version]:
            row = self._find(self._tag(version, bits, _cut(version, bits, number)))
            if row >= 0 and self._until[row] > at:
                return True
        return False

    def _look_at_lengths(self) -> None:
        self._seen = self._epoch[0]
        for version, first in _LENGTHS_AT.items():
            self._lengths[version] = [
                bits for bits, some in enumerate(self._memory[first : first + _width(version) + 1]) if some
            ]

    def _tag(self, version: int, bits: int, prefix: bytes) -> int:
        return tag_of(bytes((version, bits)) + prefix, self._secret)

    def _find(self, tag: int) -> int:
        first = tag % ROWS
        ways = self._tags[first : first + _WAYS].tolist()  # all at once: the most common answer is none
        if first > ROWS - _WAYS:
            ways += self._tags[: first + _WAYS - ROWS].tolist()
        return (first + ways.index(tag)) % ROWS if tag in ways else -1

    def bans(self, first: int = 0) -> Iterator[tuple[int, Ban]]:
        """Those in force, each with its row, from this row on."""
        at = now()
        for row, until in enumerate(self._until[first:].tolist(), first):
            if until > at:
                record = self._read(row)
                yield row, Ban(record.network, until - at, record.length, record.times, _REASONS[record.reason])

    def ended(self) -> list[Ban]:
        """Those whose time is over since this was asked last, in whatever process. One process asks."""
        at, since, epoch = now(), self._told[0], self._epoch[0]
        self._told[0] = at
        if not since or (at < self._next_end and epoch == self._looked):  # nobody has asked before, or nothing ends
            return []
        later = [(row, until) for row, until in enumerate(self._until.tolist()) if until > since]
        self._looked, self._next_end = epoch, min((until for _, until in later if until > at), default=inf)
        found: list[Ban] = []
        for row, until in later:
            if until <= at:
                record = self._read(row)
                found.append(Ban(record.network, 0.0, record.length, record.times, _REASONS[record.reason]))
        return found

    def known(self) -> Iterator[tuple[_Record, float]]:
        """All that were ever banned and are not forgotten, each with the end of its last ban."""
        for row, tag in enumerate(self._tags.tolist()):
            if tag:
                record = self._read(row)
                if record.length:
                    yield record, self._until[row]

    # -- changing ------------------------------------------------------------------------------------------------------

    def fail(self, ip: IP, offence: Offence, policy: Policy) -> Ban | None:
        """An address has failed; its ban, if it is banned for that."""
        weight = policy.weights[offence]
        if not weight:
            return None
        version = ip.version
        bits = policy.prefix_ipv4 if version == 4 else policy.prefix_ipv6
        with self._section.held():
            row, record = self._row_of(version, bits, _cut(version, bits, int(ip)))
            at = now()
            if self._until[row] > at:
                return None  # he was let in before that
            record.last = at
            failed = _count(record, weight, policy.window)
            if failed < policy.tries - _NEARLY:
                self._write(row, record)
                return None
            if at - record.began - record.length > policy.longest:
                record.times = 0
            record.reason = _REASONS.index(offence)
            return self._ban(row, record, policy.next_length(record.times))

    def add(self, network: Network, seconds: float, reason: Reason = "manual") -> Ban:
        """Ban a prefix for so long, whatever it has done."""
        with self._section.held():
            row, record = self._row_of(network.version, network.prefixlen, _packed(network))
            record.last = now()
            record.reason = _REASONS.index(reason)
            return self._ban(row, record, seconds)

    def remove(self, network: Network) -> list[Network]:
        """Let these addresses in again, and forget what they have done: all prefixes that have any of them."""
        removed: list[Network] = []
        with self._section.held():
            at = now()
            for row, tag in enumerate(self._tags.tolist()):
                if not tag:
                    continue
                theirs = self._read(row).network
                if theirs.version == network.version and theirs.overlaps(network):
                    if self._until[row] > at:
                        removed.append(theirs)
                    self._until[row] = 0.0
                    self._tags[row] = 0
            self._epoch[0] += 1
        return removed

    def _ban(self, row: int, record: _Record, seconds: float) -> Ban:
        record.began, record.length = record.last, seconds
        record.times += 1
        record.sums = [0.0] * _SLICES
        self._put(row, record, record.began + seconds)
        self._total[0] += 1
        return Ban(record.network, seconds, seconds, record.times, _REASONS[record.reason])

    def _put(self, row: int, record: _Record, until: float) -> None:
        self._write(row, record)
        self._until[row] = until
        self._memory[_LENGTHS_AT[record.version] + record.bits] = 1
        self._latest[0] = max(self._latest[0], until)
        self._epoch[0] += 1  # last: who sees it sees all that

    def _row_of(self, version: int, bits: int, prefix: bytes) -> tuple[int, _Record]:
        """The row of a prefix, which gets one if it has none. The lock is held."""
        tag = self._tag(version, bits, prefix)
        row = self._find(tag)
        if row >= 0:
            return row, self._read(row)
        at = now()
        ways = [(tag + way) % ROWS for way in range(_WAYS)]
        row = min(ways, key=lambda row: (self._tags[row] != 0, self._until[row] > at, self._rank(row, at)))
        record = _Record(version, bits, 0, 0, prefix)
        self._until[row] = 0.0
        self._write(row, record)
        self._tags[row] = tag
        return row, record

    def _rank(self, row: int, at: float) -> float:
        return self._until[row] if self._until[row] > at else self._read(row).last

    def _read(self, row: int) -> _Record:
        version, bits, reason, times, prefix, began, length, last, width, number, *sums = _RECORD.unpack_from(
            self._memory, _RECORDS_AT + row * _RECORD.size
        )
        return _Record(version, bits, reason, times, prefix, began, length, last, width, number, sums)

    def _write(self, row: int, record: _Record) -> None:
        _RECORD.pack_into(
            self._memory, _RECORDS_AT + row * _RECORD.size, record.version, record.bits, record.reason,
            min(record.times, 0xFFFFFFFF), record.prefix, record.began, record.length, record.last, record.width,
            record.number, *record.sums,
        )  # fmt: skip

    # -- what is kept in a file ----------------------------------------------------------------------------------------

    def claim_loading(self) -> bool:
        """Whether nobody has put in yet what was kept; whoever asks first is to do it."""
        with self._section.held():
            first = not self._loaded[0]
            self._loaded[0] = 1
        return first

    def to_json(self) -> list[dict[str, object]]:
        """All that were banned, with times of the wall clock."""
        offset = wall() - now()
        return [
            {
                "network": str(record.network), "until": round(until + offset, 3), "length": record.length,
                "times": record.times, "reason": _REASONS[record.reason],
            }
            for record, until in self.known()
        ]  # fmt: skip

    def restore(self, kept: Iterable[Kept]) -> int:
        """Put in what was kept; how many are banned now. No ban becomes longer than it was, whatever clocks say."""
        at, offset = now(), wall() - now()
        count = 0
        with self._section.held():
            for each in kept:
                network = each.network
                row, record = self._row_of(network.version, network.prefixlen, _packed(network))
                left = min(each.until - offset - at, each.length)
                record.last = record.began = at + left - each.length
                record.length, record.times, record.reason = each.length, each.times, _REASONS.index(each.reason)
                self._put(row, record, at + left if left > 0 else 0.0)
                count += left > 0
        return count


class Kept(NamedTuple):
    """One of those that were kept: `until` is a time of the wall clock."""

    network: Network
    until: float
    length: float
    times: int
    reason: Reason


class Bans:
    """Who is banned, by the rules of a configuration."""

    __slots__ = ("_allow", "_policy", "table")

    def __init__(self, table: BanTable, policy: Policy, allow: Prefixes) -> None:
        """Those of `allow` are never banned."""
        self.table = table
        self._policy = policy
        self._allow = allow

    def __contains__(self, ip: IP) -> bool:
        return self.table.holds(ip) and ip not in self._allow

    def failed(self, ip: IP, why: GproxyError) -> Ban | None:
        """A client with this address, which is really its own, has failed in its handshake; its ban, if it has one."""
        offence = offence_of(why)
        if offence is None or ip in self._allow:
            return None
        ban = self.table.fail(ip, offence, self._policy)
        if ban is not None:
            _log.warning("%s is banned for %.0f s, for the %s time: %s",
                         shown(ban.network), ban.length, ordinal(ban.times), WORDS[ban.reason])  # fmt: skip
        return ban


WORDS: Final[Mapping[Reason, str]] = {
    "auth": "wrong passwords",
    "replay": "handshakes that were seen before",
    "malformed": "handshakes that are none",
    "manual": "as an administrator has said",
}
"""The reasons for people."""


def shown(network: Network) -> str:
    """A prefix as people write it: an address, if it has only one."""
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th") if number % 100 not in (11, 12, 13) else "th"
    return f"{number}{ending}"


def _count(record: _Record, weight: float, window: float) -> float:
    """Add a failure; how much there is in the window now."""
    width = window / _SLICES
    number = int(record.last / width)
    if record.width != width or number - record.number >= _SLICES:
        record.sums = [0.0] * _SLICES
    else:
        for passed in range(record.number + 1, number + 1):
            record.sums[passed % _SLICES] = 0.0
    record.width, record.number = width, number
    record.sums[number % _SLICES] += weight
    return sum(record.sums)


def _width(version: int) -> int:
    return 32 if version == 4 else 128


def _cut(version: int, bits: int, number: int) -> bytes:
    """The prefix of an address, in 16 octets."""
    whole = _width(version)
    rest = whole - bits
    return ((number >> rest) << (rest + 128 - whole)).to_bytes(16, "big")


def _packed(network: Network) -> bytes:
    return network.network_address.packed.ljust(16, b"\0")


def network_of(ip: IP) -> Network:
    """The prefix that has this address alone."""
    return IPv4Network(ip) if isinstance(ip, IPv4Address) else IPv6Network(IPv6Address(ip))
