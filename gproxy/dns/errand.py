"""A question to one server that can't be answered out of hand: made for somebody who may wait, or may not.

Who waits calls `found`. Who doesn't calls `soon`, and then `found` when it is ready: no greenlet stands behind such a
question. What can't be done without waiting after all, as when a connection breaks, is done by one then.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from gproxy.base.clock import now
from gproxy.base.errors import DialError, GproxyError
from gproxy.base.session import LookupOptions, Session
from gproxy.dns.cache import Cache, Flight, read_answer
from gproxy.dns.iface import UnderWay
from gproxy.net.questions import WORKERS
from gproxy.rt.due import Due
from gproxy.wire.dns.message import Message, parse
from gproxy.wire.dns.prepared import Prepared

if TYPE_CHECKING:
    from gproxy.dns.asking import Asking, Query


class Found(NamedTuple):
    """An answer, the TTL to give it with, and who has given it."""

    answer: Prepared
    ttl: int
    server: str

    def message(self) -> Message:
        """The answer, taken apart. Raises ProtocolError: not all of it was read before."""
        return parse(self.answer.answer(0, self.answer.question, 0, self.ttl))


class Errand:
    """See Leader, Told and Late: all of them are called without anybody waiting."""

    __slots__ = ("_answer", "_asking", "_began", "_cache", "_due", "_error", "_flight", "_how", "_key", "_message",
                 "_query", "_ready", "_session", "_tag", "_under", "fired")  # fmt: skip

    def __init__(
        self,
        asking: Asking,
        tag: str,
        query: Query,
        session: Session,
        how: LookupOptions,
        cache: Cache | None,
        key: bytes,
    ) -> None:
        """`cache`: where the answer is to be remembered by this key, if it is."""
        self._asking = asking
        self._tag = tag
        self._query = query
        self._session = session
        self._how = how
        self._cache = cache
        self._key = key
        self._began = 0.0  # when it was begun without waiting
        self._due: Due | None = None
        self._under: UnderWay | None = None
        self._flight: Flight | None = None
        self._ready: Callable[[], object] | None = None
        self._message = b""
        self._answer: Prepared | None = None
        self._error: GproxyError | None = None
        self.fired = False

    def soon(self, ready: Callable[[], object]) -> bool:
        """See Soon: `found` is what is to be called then."""
        asking, cache = self._asking, self._cache
        start = asking.start(self._tag)
        if start is None or self._session.asking or (cache is not None and cache.led(self._key)):
            return False
        query = self._query
        began = now()
        self._under = start(asking.message(query, self._how), query.question, self)
        if self._under is None:
            return False
        self._began = began
        self._ready = ready
        if cache is not None:
            self._flight = cache.lead(self._key, self, began)
        self._due = asking.due(self._how)
        self._due.add(self, began)
        return True

    def found(self) -> Found:
        """The answer. Raises DialError with the reason `dns`."""
        if not self._began:
            return self._waited()
        answer, flight = self._answer, self._flight
        self._flight = None
        if answer is None:
            if self._error is not None:
                raise self._missed(self._error, flight)
            answer = self._landed(flight)
        ttl = self._how.rewrite_ttl
        return Found(answer, answer.ttl if ttl is None else ttl, self._tag)

    def _waited(self) -> Found:
        tag, how, session = self._tag, self._how, self._session
        if tag in session.asking:
            way = " → ".join(f"`{each}`" for each in (*session.asking, tag))
            raise DialError(f"{self._query.name}: a DNS server would have to ask itself: {way}", reason="dns")
        ask = partial(self._asking.exchange, tag, self._query, session, how)
        if self._cache is None:
            answer = read_answer(ask())
            return Found(answer, answer.ttl if how.rewrite_ttl is None else how.rewrite_ttl, tag)
        stale = not how.disable_optimistic_cache
        hit = self._cache.through(self._key, ask, stale=stale, rewrite_ttl=how.rewrite_ttl)
        return Found(hit.prepared, hit.ttl, tag)

    def _landed(self, flight: Flight | None) -> Prepared:
        """What the server has said. Raises DialError."""
        try:
            message = self._asking.stripped(self._message, self._query, self._how)
        except DialError as error:
            raise self._missed(error, flight) from error
        if self._cache is None or flight is None:
            return read_answer(message)
        return self._cache.landed(self._key, flight, self, message, self._how.rewrite_ttl)

    def _missed(self, error: GproxyError, flight: Flight | None) -> GproxyError:
        if self._cache is not None and flight is not None:
            self._cache.missed(self._key, flight, self, error)
        return error

    # -- who doesn't wait is told -------------------------------------------------------------------------------------

    def told(self, answer: bytes) -> None:
        """See Told."""
        self._message = answer
        if self._asking.without_edns(answer):
            self._again()
        else:
            self._asking.exchanges[self._tag].observe(now() - self._began)
            self._over()

    def failed(self, why: str, *, again: bool) -> None:
        """See Told."""
        if again:
            self._again()
        else:
            self._fail(DialError(f"DNS server {self._tag}: {why}", reason="dns"))

    def late(self) -> None:
        """See Late."""
        if self._under is not None:
            self._under.forget()
        self._fail(self._asking.too_late(self._tag, self._query))

    def fire(self) -> None:
        """See Leader."""
        self.fired = True
        if self._under is not None:
            self._under.forget()
        if self._flight is not None:
            self._answer = self._flight.answer
        self._over()

    def _fail(self, error: GproxyError) -> None:
        self._asking.failures[self._tag] += 1
        self._error = error
        self._over()

    def _over(self) -> None:
        """All has been said, by the server or somebody else."""
        self._in_time()
        ready, self._ready = self._ready, None
        if ready is not None:
            ready()

    def _in_time(self) -> None:
        self._under = None
        due, self._due = self._due, None
        if due is not None:
            due.drop(self)

    def _again(self) -> None:
        """Go on in a greenlet, which has what is left of the time."""
        self._in_time()
        WORKERS.spawn(self._go_on)

    def _go_on(self) -> None:
        if self._ready is None:
            return  # somebody else has the answer
        how, flight = self._how, self._flight
        ask = partial(
            self._asking.exchange, self._tag, self._query, self._session, how, began=self._began, said=self._message
        )
        self._flight = None
        try:
            if self._cache is None or flight is None:
                self._answer = read_answer(ask())
            else:
                self._answer = self._cache.go_on(self._key, flight, self, ask, how.rewrite_ttl)
        except GproxyError as error:
            self._error = error
        finally:
            self._over()
