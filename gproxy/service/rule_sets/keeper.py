"""Looks for newer versions of rule sets: files that change, and downloads that are due.

Whatever is wrong with a newer version, the one before stays, and what is wrong is said once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from random import Random
from typing import Final, Protocol

from gproxy.base.clock import wall
from gproxy.base.errors import GproxyError
from gproxy.base.iface import Dialer
from gproxy.layers.tls.watch import LOOK, Watch
from gproxy.route.headless import BadRuleSet
from gproxy.route.sets.live import LiveSet
from gproxy.route.sets.options import DAILY, RemoteRuleSet
from gproxy.route.sets.packed import BadPacked
from gproxy.rt.group import Group
from gproxy.rt.offload import offload
from gproxy.rt.sync import sleep
from gproxy.schema.tls import Authorities
from gproxy.service.rule_sets.download import download
from gproxy.service.rule_sets.source import Ready, Source, read_file
from gproxy.service.rule_sets.store import asked_now

# After a failure the next try comes after this, then twice as long each time, up to the ceiling or the set's own
# interval. In seconds.
BACKOFF: Final = 10.0
BACKOFF_CEILING: Final = 3600.0
_JITTER: Final = 0.1

# The wall clock may be set, and a machine may sleep: nobody waits for longer than this without looking at it.
_NAP: Final = 60.0

# A file that somebody is still writing to is looked at again after a while, so often at most.
_UNSTEADY: Final = 10

DialerOf = Callable[[str], Dialer]
"""The outbound with this tag; the first one for none."""


class Outlet(Protocol):
    """Where newer versions go."""

    def tell_rule_set(self, tag: str, digest: str, descriptor: int) -> None:
        """This set is now what the memory file says. The descriptor stays the caller's."""


class Keeper:
    """Keeps one rule set up to date."""

    def __init__(self, source: Source, live: LiveSet, dialer_of: DialerOf, authorities: Authorities) -> None:
        self._source = source
        self._live = live
        self._dialer_of = dialer_of
        self._authorities = authorities
        self._log = logging.getLogger(f"gproxy.rule_set.{source.tag}")
        self._complained = ""
        self._dice = Random()  # noqa: S311 - only to spread the work
        self.outlet: Outlet | None = None

    @property
    def lacking(self) -> bool:
        """Whether nothing is known of a set that can be downloaded."""
        return not self._live.digest and bool(self._source.url())

    def run(self) -> None:
        """Until killed."""
        if self._source.url():
            self._download_for_ever()
        elif self._source.path():
            self._watch()

    # -- files ---------------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        watch = Watch([self._source.path()])
        self._read()  # it may have changed since it was loaded
        while True:
            sleep(LOOK)
            if watch.changed():
                for _ in range(_UNSTEADY):
                    sleep(LOOK)
                    if not watch.changed():
                        break
                self._read()

    def _read(self) -> None:
        try:
            self._take(offload(self._ready))
        except OSError as error:
            self._complain(f"{self._source.path()}: {(error.strerror or str(error)).lower()}")
        except (BadRuleSet, BadPacked) as error:
            self._complain(f"{self._source.path()}: {error}")

    def _ready(self) -> Ready:
        return self._source.made_of(read_file(self._source.path()))

    # -- downloads -----------------------------------------------------------------------------------------------------

    def _download_for_ever(self) -> None:
        options = self._source.options
        assert isinstance(options, RemoteRuleSet)
        interval = float(options.update_interval or DAILY)
        facts = offload(self._source.facts)
        due = facts.asked + self._about(interval) if self._live.digest else 0.0
        failures = 0
        while True:
            while (left := due - wall()) > 0:
                sleep(min(left, _NAP))
                due = min(due, wall() + interval * (1 + _JITTER))  # the clock has been set back
            if self.download():
                failures = 0
                due = wall() + self._about(interval)
            else:
                due = wall() + self._about(min(BACKOFF * 2.0**failures, BACKOFF_CEILING, interval))
                failures = min(failures + 1, 16)

    def _about(self, seconds: float) -> float:
        return seconds * self._dice.uniform(1 - _JITTER, 1 + _JITTER)

    def download(self) -> bool:
        """Ask for a newer version; whether there is one, or none is needed."""
        options = self._source.options
        assert isinstance(options, RemoteRuleSet)
        try:
            known = offload(self._source.facts)
            found = download(self._dialer_of(options.download_detour), self._authorities, known)
            facts = asked_now(found.facts)
            if found.data is None:
                offload(self._source.store.keep_facts, facts)
            else:
                self._take(offload(self._source.made_of, found.data))
                offload(self._source.store.keep_downloaded, found.data, facts)
        except (GproxyError, BadPacked) as error:
            self._complain(f"the download has failed: {error}")
            return False
        except OSError as error:
            self._complain(f"the download has failed: {(error.strerror or str(error)).lower()}")
            return False
        self._complained = ""
        return True

    # -- what is new ---------------------------------------------------------------------------------------------------

    def _take(self, ready: Ready) -> None:
        """Raises BadPacked and OSError."""
        try:
            if ready.digest == self._live.digest:
                return
            self._live.take(ready.descriptor, ready.digest)
            if self.outlet is not None:
                self.outlet.tell_rule_set(self._source.tag, ready.digest, ready.descriptor)
        finally:
            ready.close()
        self._complained = ""
        dropped = f", without {ready.dropped} entries that have no place in rules" if ready.dropped else ""
        self._log.info("a new version%s", dropped)

    def _complain(self, what: str) -> None:
        """Once for each thing that is wrong."""
        if what != self._complained:
            self._complained = what
            has = "the version before goes on" if self._live.digest else "nothing is known of it: no rule of it matches"
            self._log.error("%s; %s", what, has)


class Updates:
    """All rule sets of a configuration, kept up to date while this is started."""

    def __init__(self, moving: Sequence[tuple[Source, LiveSet]], dialer_of: DialerOf, authorities: Authorities) -> None:
        """`moving`: those that can change. Whom servers have to prove who they are to, `authorities` say."""
        self._keepers = [Keeper(source, live, dialer_of, authorities) for source, live in moving]
        self._group: Group | None = None  # made where it runs: not in the process that others are forked from

    def attach(self, outlet: Outlet) -> None:
        """From now on newer versions go there too."""
        for keeper in self._keepers:
            keeper.outlet = outlet

    def fetch_lacking(self, seconds: float) -> None:
        """Download sets of which nothing is known, for so long at most."""
        lacking = [keeper for keeper in self._keepers if keeper.lacking]
        if lacking:
            with Group("first rule sets") as group:
                for keeper in lacking:
                    group.spawn(keeper.download)
                group.join(seconds)

    def start(self) -> None:
        """Begin, or go on."""
        if self._group is None and self._keepers:
            self._group = Group("rule sets")
            for keeper in self._keepers:
                self._group.spawn(keeper.run)

    def stop(self) -> None:
        """Look no more."""
        group, self._group = self._group, None
        if group is not None:
            group.kill()
