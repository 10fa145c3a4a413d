"""What a process tells of itself to whoever serves metrics: what it has counted, and what it is like now."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gproxy.base.clock import now, wall
from gproxy.base.errors import DialError
from gproxy.base.iface import Outbound
from gproxy.config.root import Root
from gproxy.limit.memory import Memory
from gproxy.observe import process
from gproxy.rt import crew, group
from gproxy.rt.sync import sleep
from gproxy.service.metrics.board import Board, Gauge, Shown
from gproxy.service.metrics.options import MetricsOptions
from gproxy.service.metrics.totals import Key, Totals
from gproxy.service.metrics.view import View

if TYPE_CHECKING:
    from gproxy.app.build import House
    from gproxy.engine.outbounds import Outbounds
    from gproxy.limit.bans import Bans
    from gproxy.observe.timing import Timing
    from gproxy.service.expiry import Expiry
    from gproxy.service.rule_sets.source import Source

_log = logging.getLogger("gproxy.app")

TELL_EVERY: Final = 1.0
"""Seconds between two times that a process tells."""

_COUNT_EVERY: Final = 10.0  # seconds between two counts of the descriptors, which may be many
_LOOK_EVERY: Final = 60.0  # seconds between two looks at the files of rule sets

# At the end, others who tell just then are waited for: so often, and for so many seconds each time.
_LAST_TRIES: Final = 100
_LAST_PAUSE: Final = 0.01

CONTROL: Final = -1

Counts = dict[Key, tuple[int, ...]]


class Counting:
    """One process's part. `join` comes after the fork."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.state = "starting"
        self._shown = Shown(CONTROL)
        self._house: House | None = None
        self._told: Counts = {}
        self._pending: dict[Key, list[int]] = {}  # what has come on top and could not be told yet
        self._last = 0.0
        self._counted = -_COUNT_EVERY
        self._descriptors = 0

    def join(self, house: House, worker: int, generation: int, *, alone: bool = False) -> None:
        """Begin, as this process of this generation. That there is no place to show it is said in the log.

        `alone`: there is no other process, so that services are served here too.
        """
        self._house = house
        self.view.generation, self.view.since = generation, wall()
        if worker == CONTROL or alone:
            self.view.refresh = self.tell
        if worker == CONTROL:
            self.state = "serving"
        self._shown = Shown(worker, generation)
        self._last = now()
        try:
            self.view.board.join()
        except OSError as error:
            _log.error("what worker %d is like can't be shown in metrics: %s", worker, error)
            self._house = None
            return
        self._pend(("start", self._shown.process), (1,))

    def tell(self) -> None:
        """Add what has come on top, and show what is now."""
        house = self._house
        if house is None:
            return
        for key, moved in house.meter.take_moved().items():
            self._pend(key, moved)
        for key, values in self._counts(house).items():
            before = self._told.get(key)
            if values != before:
                self._told[key] = values
                self._pend(key, values if before is None else _more(values, before))
        if self.view.totals.add(self._pending.items()):
            self._pending.clear()
        self._shown.state = self.state
        self._shown.gauges = self._gauges(house)
        self.view.board.show(self._shown)

    def finish(self) -> None:
        """Tell for the last time, and wait for that, a little."""
        self.tell()
        for _ in range(_LAST_TRIES):
            if not self._pending:
                return
            sleep(_LAST_PAUSE)
            if self.view.totals.add(self._pending.items()):
                self._pending.clear()

    def _pend(self, key: Key, values: Sequence[int]) -> None:
        sums = self._pending.get(key)
        self._pending[key] = list(values) if sums is None else [a + b for a, b in zip(sums, values, strict=True)]

    def _counts(self, house: House) -> Counts:
        """All that only grows, since the start of this process."""
        meter, names = house.meter, house.names
        counts: Counts = {("cpu", self._shown.process): (int(process.processor_seconds() * 1e6),)}
        if self._shown.worker == CONTROL:
            return counts
        for inbound, door in meter.doors.items():
            counts["connection", inbound] = (door.opened,)
            if door.queries or door.dropped:
                counts["dropped", inbound] = (door.dropped,)
        for (inbound, outbound, rule, status), count in meter.ends.items():
            _add(counts, ("session", inbound, outbound, status), count)
            if rule:
                _add(counts, ("rule", rule), count)
        counts.update(_timed("handshake", meter.handshakes))
        counts.update(_timed("dial", meter.dials))
        counts.update(_timed("first", meter.first_bytes))
        if house.limits is not None:
            for (limit, reason), count in house.limits.refused().items():
                counts["limited", limit, reason] = (count,)
        for tag, breaker in house.breakers.items():
            counts["opened", tag] = (breaker.opened,)
        if names.dns is not None and names.asking is not None:
            counts["query",] = (names.dns.queries,)
            for tag, timing in names.asking.exchanges.items():  # also of servers that never answer, or never fail
                counts["exchange", tag] = timing.values()
                counts["failure", tag] = (names.asking.failures[tag],)
        if names.cache is not None:
            counts["lookup",] = (names.cache.hits, names.cache.misses)
        return counts

    def _gauges(self, house: House) -> list[Gauge]:
        at = now()
        late = max(0.0, at - self._last - TELL_EVERY) if self._shown.worker != CONTROL else 0.0
        self._last = at
        if at - self._counted >= _COUNT_EVERY:
            self._counted = at
            self._descriptors = process.descriptors()
        gauges: list[Gauge] = [
            ("resident", [], process.resident()),
            ("descriptors", [], self._descriptors),
            ("greenlets", [], group.alive() + crew.members()),
        ]
        if self._shown.worker == CONTROL:
            return gauges
        gauges += [("lag", [], round(late, 3)), ("paused", [], float(house.room.most == 0))]
        if house.names.cache is not None:
            gauges += [("entries", [], len(house.names.cache)), ("cached", [], house.names.cache.size)]
        gauges += [("open", [inbound], door.active) for inbound, door in house.meter.doors.items()]
        gauges += [("breaker", [tag, breaker.state], 1) for tag, breaker in house.breakers.items()]
        return gauges


def build_counting(root: Root, memory: Memory) -> Counting:
    """What counts for the services that tell metrics, of which there is one at least. Raises OSError."""
    totals = Totals(memory, max(options.users for options in root.services if isinstance(options, MetricsOptions)))
    view = View(totals, Board(memory), max(1, int(root.runtime.workers)))
    if root.log.output and not root.log.disabled:
        view.files.append(root.log.output)
    view.files += [each.output for each in (root.log.access, root.log.audit) if each is not None]
    return Counting(view)


def furnish(view: View, root: Root, outbounds: Outbounds, expiry: Expiry | None, bans: Bans | None) -> None:
    """What is known when all is built."""
    view.outbound = _by_tag(outbounds)
    if expiry is not None:
        view.facts.append(lambda: _certificates(expiry))
    if bans is not None:
        view.facts.append(lambda: _bans(bans))
    if root.route.rule_set:
        from gproxy.service.rule_sets.source import sources
        from gproxy.service.rule_sets.store import Store

        view.facts.append(RuleSetAges(list(sources(root.route.rule_set, Store()))).known)


def _by_tag(outbounds: Outbounds) -> Callable[[str], Outbound]:
    def outbound(tag: str) -> Outbound:
        try:
            return outbounds.get(tag, "tcp")
        except KeyError:
            raise DialError(f"there is no outbound {tag}") from None

    return outbound


def _certificates(expiry: Expiry) -> Iterator[Gauge]:
    for (inbound, file), end in expiry.ends().items():
        yield "certificate", [inbound, file], end


def _bans(bans: Bans) -> Iterator[Gauge]:
    yield "bans", [], bans.table.total
    yield "banned", [], sum(1 for _ in bans.table.bans())


class RuleSetAges:
    """When each rule set was last known to be up to date: its file's time, or that of the last question."""

    def __init__(self, all_: list[Source]) -> None:
        self._sources = all_
        self._looked = -_LOOK_EVERY
        self._known: list[Gauge] = []

    def known(self) -> list[Gauge]:
        """Those of which that is known."""
        if now() - self._looked >= _LOOK_EVERY:
            self._looked = now()
            self._known = list(self._look())
        return self._known

    def _look(self) -> Iterator[Gauge]:
        for source in self._sources:
            try:
                if source.path():
                    yield "rule_set", [source.tag], Path(source.path()).stat().st_mtime
                elif source.url() and (asked := source.facts().asked):
                    yield "rule_set", [source.tag], asked
            except OSError:
                continue


def _timed(family: str, timings: Mapping[str, Timing]) -> Iterator[tuple[Key, tuple[int, ...]]]:
    for label, timing in timings.items():
        yield (family, label), timing.values()


def _add(counts: Counts, key: Key, count: int) -> None:
    before = counts.get(key)
    counts[key] = (count if before is None else before[0] + count,)


def _more(values: tuple[int, ...], before: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(value - told for value, told in zip(values, before, strict=True))
