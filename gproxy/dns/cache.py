"""Answers that are remembered, for as long as their TTL says, and given to all who ask the same of the same server.

How the resolver uses it: `get` answers at once, also in the hub, or has nothing; `through` waits for an exchange if it
must, and however many ask the same meanwhile, they wait for the same one. `ask` stands for that exchange: it sets its
own deadline, and raises GproxyError when there is no answer.

    key = cache_key(b"tag", question, do=False, checking_disabled=False)
    hit = cache.get(key) or cache.through(key, ask)
    reply = hit.prepared.answer(id, question, flags, hit.ttl, opt)

Only NOERROR and NXDOMAIN are kept, and that there is nothing as long as RFC 2308 has it. `optimistic` keeps answers
beyond their end and gives them, with a small TTL, while they are asked for anew (RFC 8767); `prefetch` asks for popular
ones before their end.

What comes new has to be asked for again, soon or when it has just been displaced, before it displaces what is used (as
in S3-FIFO), so that a scan of many names does no harm; entries are bounded in number and in bytes.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from copy import copy
from typing import Final, NamedTuple, Protocol

from gproxy.base.clock import now, wall
from gproxy.base.errors import DialError, GproxyError, ProtocolError
from gproxy.dns.shared import Shared
from gproxy.rt.deadline import Cancel
from gproxy.rt.group import Group
from gproxy.rt.sync import Event
from gproxy.wire.dns import types
from gproxy.wire.dns.prepared import Prepared, prepare

LEAST_CAPACITY: Final = 1024
"""Entries that every cache has room for."""

CAPACITY: Final = 16384
"""Entries of a cache that nothing is said of."""

STALE_TTL: Final = 5
"""Seconds that an answer beyond its end may be kept by who gets it."""

MOST_TTL: Final = 7 * 86400
"""Seconds that an answer is kept at most (RFC 8767 section 4)."""

MOST_NEGATIVE: Final = 3 * 3600
"""Seconds that it is remembered at most that there is nothing (RFC 2308 section 5)."""

_ENTRY_BYTES: Final = 2048  # of room for each entry of the capacity: most need a third of that
_OVERHEAD: Final = 300  # bytes of an entry beyond its answer and its key
_LARGEST: Final = 16  # one answer may have this part of the room
_NEW: Final = 8  # what comes new has this part of the capacity, at least
_EARLY: Final = 0.1  # of a lifetime before its end: when popular answers are asked for anew
_POPULAR: Final = 3  # times that it was given in its lifetime
_RETRY: Final = 2.0  # seconds until an answer is asked for anew once more
_PATIENCE: Final = 1.0  # seconds that an exchange is waited for before another one begins beside it
_AT_ONCE: Final = 256  # exchanges behind answers, of those begun in the last second
_BEHIND: Final = 2048  # and of all


class Hit(NamedTuple):
    """A remembered or a fresh answer, the TTL to give it with, and whether somebody has to see to a newer one.

    Who gets one from `get` that is due calls `refresh`; if nobody does, another asker is told in a while.
    """

    prepared: Prepared
    ttl: int
    due: bool = False


class _Entry:
    __slots__ = ("answer", "due", "end", "hits", "retry", "size")

    def __init__(self, answer: Prepared, end: float, due: float, size: int) -> None:
        self.answer = answer
        self.end = end
        self.due = due  # from then on it isn't simply given
        self.size = size
        self.hits = 0
        self.retry = 0.0


class Leader(Protocol):
    """Who makes an exchange for all who wait for it."""

    fired: bool

    def fire(self) -> None:
        """Another one has the answer: there is no need to go on. It neither waits nor raises."""


class Flight:
    """An exchange that others wait for."""

    __slots__ = ("answer", "began", "error", "leaders", "over", "settled")

    def __init__(self, began: float) -> None:
        self.began = began
        self.leaders: set[Leader] = set()
        self.over: Event | None = None  # made when the first one waits
        self.answer: Prepared | None = None
        self.error: GproxyError | None = None
        self.settled = False

    def wait(self) -> Prepared | None:
        """Its answer; None if it ended with neither an answer nor an error that is everybody's, which is raised."""
        if self.over is None:
            self.over = Event()
        self.over.wait()
        if self.error is not None:
            raise copy(self.error)  # one that many raise would collect the traces of all
        return self.answer

    def settle(self, answer: Prepared | None, error: GproxyError | None) -> None:
        """Tell it to all who wait, and to those who ask the same beside. What is told first counts."""
        if self.settled:
            return
        self.settled = True
        self.answer = answer
        self.error = error
        if answer is not None:
            for leader in tuple(self.leaders):
                leader.fire()
        if self.over is not None:
            self.over.set()


def read_answer(message: bytes) -> Prepared:
    """What a server has said. Raises DialError with the reason `dns` for what is no answer."""
    try:
        return prepare(message)
    except ProtocolError as error:
        raise DialError(f"a bad DNS answer: {error}", reason="dns") from error


def cache_key(server: bytes, question: bytes, *, do: bool = False, checking_disabled: bool = False) -> bytes:
    """What an answer is remembered by: the server, the question as a client wrote it, what else makes answers differ.

    Letters' case makes no difference, in the name only. Queries with options, or with a client's subnet that a rule
    names, have answers of their own, and are not for this cache.
    """
    return lower_key(server, question[:-4].lower() + question[-4:], do, checking_disabled)


def lower_key(server: bytes, question: bytes, do: bool, checking_disabled: bool) -> bytes:
    """The same for a question that is in lower case already."""
    return b"%b\0%c%b" % (server, (1 if do else 0) | (2 if checking_disabled else 0), question)


class Cache:
    """Answers by their keys.

    `capacity`: entries, of which there are LEAST_CAPACITY at least; `room`: bytes, by default 2 KiB for each of them.
    `optimistic`: seconds that answers are given beyond their end, 0 for none. `prefetch`: whether popular ones are
    asked for before their end. `expire`: False gives answers for ever, with the TTL they came with, and shares none.
    `shared`: what other workers have asked.
    """

    def __init__(
        self,
        capacity: int = CAPACITY,
        *,
        room: int = 0,
        optimistic: float = 0,
        prefetch: bool = False,
        expire: bool = True,
        shared: Shared | None = None,
    ) -> None:
        self._capacity = max(capacity, LEAST_CAPACITY)
        self._room = room or self._capacity * _ENTRY_BYTES
        self._stale = optimistic
        self._early = _EARLY if prefetch else 0.0
        self._expire = expire
        self._shared = shared if expire else None
        self._used: OrderedDict[bytes, _Entry] = OrderedDict()
        self._new: OrderedDict[bytes, _Entry] = OrderedDict()
        self._gone: set[int] = set()  # hashes of keys that were displaced of late
        self._gone_before: set[int] = set()
        self._flights: dict[bytes, Flight] = {}
        self._group = Group("dns-cache")
        self._second = 0  # in which refreshes are counted that are not over yet
        self._begun = 0
        self.size = 0
        self.hits = 0  # answers that were given without asking anybody
        self.misses = 0

    def __len__(self) -> int:
        return len(self._used) + len(self._new)

    def get(self, key: bytes, *, stale: bool = True) -> Hit | None:
        """What is remembered; `stale` says whether also beyond its end. It never waits."""
        entry = self._used.get(key) or self._new.get(key)
        if entry is None:
            return None if self._shared is None else self._of_others(key, now(), stale)
        time = now()
        entry.hits += 1
        if time < entry.due:
            return Hit(entry.answer, int(entry.end - time))
        return self._late(key, entry, time, stale)

    def through(
        self, key: bytes, ask: Callable[[], bytes], *, stale: bool = True, rewrite_ttl: int | None = None
    ) -> Hit:
        """What is remembered, or else the answer that `ask` gives, which is remembered then; never one that is due.

        `rewrite_ttl`: seconds that a new answer is good for, whatever it says itself; 0 is not remembered. Many who
        wait for the same are told together. When their exchange fails within a second they all fail; else, or when who
        made it was killed, another of them tries. Raises what `ask` raises, and DialError for an answer that is none.
        """
        hit = self.get(key, stale=stale)
        if hit is not None:
            self.hits += 1
            if hit.due:
                self.refresh(key, ask, rewrite_ttl=rewrite_ttl)
            return hit._replace(due=False)
        self.misses += 1
        while True:
            flight, leads = self._board(key)
            answer = self._lead(key, flight, ask, rewrite_ttl) if leads else flight.wait()
            if answer is not None:
                return Hit(answer, answer.ttl)

    def led(self, key: bytes) -> bool:
        """Whether somebody is asking for it just now."""
        return key in self._flights

    def lead(self, key: bytes, leader: Leader, began: float) -> Flight:
        """For who can't wait, and if nobody else is at it: make the exchange for all who ask meanwhile.

        `began`: just now. It ends with `landed` or `missed`, or goes on with `go_on`; or else `leader` is fired, and
        the flight knows the answer.
        """
        self.misses += 1
        flight = self._flights[key] = Flight(began)
        flight.leaders.add(leader)
        return flight

    def landed(self, key: bytes, flight: Flight, leader: Leader, message: bytes, rewrite_ttl: int | None) -> Prepared:
        """Such an exchange has brought this message. Raises DialError for one that is no answer."""
        answer = None
        error: GproxyError | None = None
        try:
            answer = self._taken(key, message, rewrite_ttl)
        except GproxyError as failed:
            error = failed
            raise
        finally:
            self._left(key, flight, leader, answer, error)
        return answer

    def missed(self, key: bytes, flight: Flight, leader: Leader, error: GproxyError) -> None:
        """Such an exchange has failed."""
        self._left(key, flight, leader, None, error)

    def go_on(
        self, key: bytes, flight: Flight, leader: Leader, ask: Callable[[], bytes], rewrite_ttl: int | None
    ) -> Prepared:
        """Go on with such an exchange, waiting now. Raises what `ask` raises, and DialError."""
        flight.leaders.discard(leader)
        return self._lead(key, flight, ask, rewrite_ttl)

    def refresh(self, key: bytes, ask: Callable[[], bytes], *, rewrite_ttl: int | None = None) -> None:
        """Ask anew, behind the answer that is given meanwhile. It never waits; `ask` is called in a greenlet."""
        flight, leads = self._board(key)
        if leads:
            self._begun += 1
            self._group.spawn(self._renew, key, flight, ask, rewrite_ttl, self._second)

    def flush(self) -> None:
        """Forget everything, also what is shared."""
        self._used.clear()
        self._new.clear()
        self._gone.clear()
        self._gone_before.clear()
        self.size = 0
        if self._shared is not None:
            self._shared.clear()

    def close(self) -> None:
        """End what is asked for behind answers, and fail who waits for it. Idempotent."""
        for flight in self._flights.values():
            flight.settle(None, DialError("the DNS cache is closed", reason="dns"))
        self._flights.clear()
        self._group.kill()

    def export(self) -> Iterator[tuple[bytes, bytes, float]]:
        """All entries, the least worth first: key, message with the id 0, and until when by the wall clock."""
        offset = wall() - now()
        for entries in (self._new, self._used):
            for key, entry in list(entries.items()):
                answer = entry.answer
                yield key, answer.answer(0, answer.question, 0, answer.ttl), entry.end + offset

    def load(self, entries: Iterable[tuple[bytes, bytes, float]]) -> None:
        """Remember what was exported, as far as there is room, and it is still good. Raises ProtocolError."""
        offset = now() - wall()
        for key, message, end in entries:
            answer = prepare(message)
            if now() < end + offset + self._stale and answer.lasting:
                self._put(key, answer, min(end + offset, now() + answer.ttl))

    def _late(self, key: bytes, entry: _Entry, time: float, stale: bool) -> Hit | None:
        if not self._expire:
            return Hit(entry.answer, entry.answer.ttl)
        if time < entry.end:
            return Hit(entry.answer, int(entry.end - time), entry.hits >= _POPULAR and self._claim(entry, time))
        if self._shared is not None:
            hit = self._of_others(key, time, stale=False)
            if hit is not None:
                return hit
        if time >= entry.end + self._stale:
            self._remove(key)
            return None
        return Hit(entry.answer, STALE_TTL, self._claim(entry, time)) if stale else None

    def _of_others(self, key: bytes, time: float, stale: bool) -> Hit | None:
        """What another worker has asked."""
        assert self._shared is not None
        found = self._shared.get(key)
        if found is None:
            return None
        message, end, ttl = found
        if time >= end and not (stale and time < end + self._stale):
            return None
        answer = prepare(message)
        answer.ttl = ttl
        entry = self._put(key, answer, end)
        entry.hits = 1
        return Hit(answer, int(end - time)) if time < end else Hit(answer, STALE_TTL, self._claim(entry, time))

    def _claim(self, entry: _Entry, time: float) -> bool:
        """Whether an exchange behind this answer may begin now: not too many at once, nor for one answer too often.

        Those that take longer than a second, since the server is dead, leave others their chance.
        """
        if time < entry.retry:
            return False
        if int(time) != self._second:
            self._second = int(time)
            self._begun = 0
        if self._begun >= _AT_ONCE or len(self._group) >= _BEHIND:
            return False
        entry.retry = time + _RETRY
        return True

    def _board(self, key: bytes) -> tuple[Flight, bool]:
        """The exchange for this key, and whether who asks is to make it: if there is none, or none ends."""
        time = now()
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = Flight(time)
            return flight, True
        if time - flight.began < _PATIENCE:
            return flight, False
        flight.began = time  # the next one may do the same in a while
        return flight, True

    def _renew(
        self, key: bytes, flight: Flight, ask: Callable[[], bytes], rewrite_ttl: int | None, second: int
    ) -> None:
        try:
            self._lead(key, flight, ask, rewrite_ttl)
        finally:
            if second == self._second:
                self._begun -= 1

    def _lead(self, key: bytes, flight: Flight, ask: Callable[[], bytes], rewrite_ttl: int | None) -> Prepared:
        """Ask, for all who wait."""
        answer = None
        error: GproxyError | None = None
        scope = Cancel()
        flight.leaders.add(scope)
        try:
            with scope:
                answer = self._taken(key, ask(), rewrite_ttl)
        except GproxyError as failed:
            error = failed
            raise
        finally:
            self._left(key, flight, scope, answer, error)
        answer = answer or flight.answer  # another one's, who asked later and was answered first
        assert answer is not None
        return answer

    def _left(
        self, key: bytes, flight: Flight, leader: Leader, answer: Prepared | None, error: GproxyError | None
    ) -> None:
        """One who has asked has an answer, or has failed, or was fired."""
        flight.leaders.discard(leader)
        if not leader.fired and (answer is not None or not flight.leaders):
            if self._flights.get(key) is flight:
                del self._flights[key]
            flight.settle(answer, error if error is None or now() - flight.began < _PATIENCE else None)

    def _taken(self, key: bytes, message: bytes, rewrite_ttl: int | None) -> Prepared:
        """A new answer, which takes the place of the one that is remembered, unless it tells of a failure."""
        answer = read_answer(message)
        question = answer.question
        if not key.endswith(question) and not key.endswith(question[:-4].lower() + question[-4:]):
            raise DialError("a DNS answer to another question", reason="dns")
        if rewrite_ttl is None:
            answer.ttl = min(answer.ttl, MOST_NEGATIVE if answer.negative else MOST_TTL)
        else:
            answer.ttl = rewrite_ttl
        if answer.lasting and answer.ttl > 0:
            end = now() + answer.ttl
            self._put(key, answer, end)
            if self._shared is not None:
                self._shared.put(key, message, end, answer.ttl)
        elif answer.rcode in (types.NOERROR, types.NXDOMAIN):
            self._remove(key)
        return answer

    def _put(self, key: bytes, answer: Prepared, end: float) -> _Entry:
        self._remove(key)
        due = end - answer.ttl * self._early if self._expire else -math.inf
        entry = _Entry(answer, end, due, answer.size + len(key) + _OVERHEAD)
        if entry.size <= self._room // _LARGEST:
            mark = hash(key)
            known = mark in self._gone or mark in self._gone_before
            (self._used if known else self._new)[key] = entry
            self.size += entry.size
            while len(self._used) + len(self._new) > self._capacity or self.size > self._room:
                self._displace()
        return entry

    def _remove(self, key: bytes) -> None:
        entry = self._used.pop(key, None) or self._new.pop(key, None)
        if entry is not None:
            self.size -= entry.size

    def _displace(self) -> None:
        """Forget one entry, or look at another one next time."""
        new = len(self._new) * _NEW > len(self) or not self._used
        key, entry = (self._new if new else self._used).popitem(last=False)
        if entry.hits and now() < entry.end + self._stale:
            entry.hits = 0
            self._used[key] = entry
            return
        self.size -= entry.size
        if new:
            self._gone.add(hash(key))
            if len(self._gone) * 2 >= self._capacity:
                self._gone, self._gone_before = set(), self._gone
