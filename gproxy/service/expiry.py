"""How long the certificates of inbounds are still good, said in the log by the one process that looks after it."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from gproxy.base.clock import wall
from gproxy.base.errors import ConfigError
from gproxy.layers.tls.context import certificates_in, text_of
from gproxy.rt.group import Group
from gproxy.rt.sync import sleep
from gproxy.schema.tls import OwnCertificate

_log = logging.getLogger("gproxy.service.expiry")

_DAY: Final = 24 * 60 * 60.0
_LOOK: Final = 60 * 60.0  # how often, in seconds

_DAYS: Final = (1, 7, 14, 30)
"""So many days before the end it is said, at the start and then once a day at most, and at each of these."""


@dataclass(slots=True)
class Watched:
    """A certificate in the options of an inbound."""

    inbound: str
    options: OwnCertificate
    ends: float | None = None  # seconds since the epoch, as far as known
    _told: tuple[int, float] = field(default=(0, 0.0))  # at how many days, and when

    def look(self) -> None:
        """Read it, and say what is to be said. One that can't be read is what it was before: others complain."""
        options = self.options
        try:
            chain = certificates_in(
                text_of(options.certificate, options.certificate_path, "certificate"), "certificate"
            )
        except ConfigError:
            return
        end = min(each.not_valid_after_utc for each in chain)
        self.ends = end.timestamp()
        self._say(end, self.ends - wall())

    def _say(self, end: datetime.datetime, left: float) -> None:
        at, said = self._told
        stage = next((days for days in _DAYS if left <= days * _DAY), 0)
        if not stage:
            self._told = (0, 0.0)
            return
        if stage == at and wall() - said < _DAY:
            return
        self._told = (stage, wall())
        what = self.options.certificate_path or "the certificate in the options"
        if left <= 0:
            _log.error("inbound %s: %s ended on %s", self.inbound, what, end.date())
        else:
            days = max(1, round(left / _DAY))
            _log.warning(
                "inbound %s: %s ends in %d day%s, on %s", self.inbound, what, days, "s"[: days != 1], end.date()
            )


class Expiry:
    """Looks after all of them, while it is started."""

    def __init__(self, watched: Sequence[Watched]) -> None:
        self._watched = watched
        self._group: Group | None = None  # made where it runs: not in the process that others are forked from

    def ends(self) -> Mapping[tuple[str, str], float]:
        """When each is over, in seconds since the epoch, by inbound and file; as far as they could be read."""
        return {
            (each.inbound, each.options.certificate_path): each.ends for each in self._watched if each.ends is not None
        }

    def start(self) -> None:
        """Begin, or go on."""
        if self._group is None:
            self._group = Group("expiry")
            self._group.spawn(self._watch)

    def stop(self) -> None:
        """Say no more."""
        group, self._group = self._group, None
        if group is not None:
            group.kill()

    def _watch(self) -> None:
        while True:
            for each in self._watched:
                each.look()
            sleep(_LOOK)
