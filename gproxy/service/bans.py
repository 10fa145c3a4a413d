"""What control does for bans: it keeps them in a file, and tells the kernel about them.

The bans themselves are in memory that all workers share. So nothing of this is in anybody's way: a disk that is full,
or a file that nobody can read, costs what a restart would have remembered, and no more.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final, Protocol

from gproxy.base.clock import now
from gproxy.limit.bans import Ban, BanTable, Kept, shown
from gproxy.observe import audit
from gproxy.observe.events import Event
from gproxy.rt.group import Group
from gproxy.rt.sync import sleep
from gproxy.service.files import write

_log = logging.getLogger("gproxy.service.bans")

_LOOK: Final = 1.0  # how often somebody looks whether there is something to save, in seconds

# What takes long is done more rarely: it takes this part of the time at most.
_SHARE: Final = 0.05

# After so many seconds they are shown again: where that failed, and where others may have emptied the sets.
_RETRY: Final = 10.0
_ANEW: Final = 300.0

_VERSION: Final = 1
_LARGEST: Final = 16 << 20  # bytes of a file that we may have written
_TEN_YEARS: Final = 10 * 366 * 86400.0
_OFTEN: Final = 1 << 32


class BanFile:
    """The file. It is replaced as a whole; one that is not ours is set aside before that."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._foreign = False  # what is there now can't be read
        self._failing = False  # that nothing can be written was told

    def load(self, table: BanTable) -> None:
        """Put into the table what the file says, if there is one. What is wrong with it is told."""
        try:
            with self.path.open("rb") as file:
                data = file.read(_LARGEST + 1)
            kept = list(_parse(data)) if data else []
        except FileNotFoundError:
            return
        except OSError as error:
            _log.error("the bans of %s can't be read: %s", self.path, error.strerror)
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
            self._foreign = True
            _log.error("%s is not what gproxy has written: it begins without bans, and sets it aside", self.path)
        else:
            count = table.restore(kept)
            if count:
                _log.info("%d bans of %s are in force", count, self.path)

    def save(self, table: BanTable) -> bool:
        """Write down who was banned; whether that went well. That it did not is told once."""
        data = json.dumps({"version": _VERSION, "bans": table.to_json()}, indent=1).encode()
        try:
            if self._foreign:
                self.path.replace(f"{self.path}.broken")
                self._foreign = False
            write(self.path, data + b"\n")
        except OSError as error:
            if not self._failing:
                _log.error("bans can't be saved to %s, a restart would forget them: %s", self.path, error.strerror)
            self._failing = True
            return False
        if self._failing:
            _log.info("bans are saved to %s again", self.path)
        self._failing = False
        return True


def _parse(data: bytes) -> Iterator[Kept]:
    """Raises ValueError, KeyError, TypeError and others for what is wrong."""
    tree: Any = json.loads(data)
    if tree["version"] != _VERSION:
        raise ValueError("another version")
    for each in tree["bans"]:
        kept = Kept(
            ip_network(each["network"]), float(each["until"]), float(each["length"]), int(each["times"]), each["reason"]
        )
        if not (0 <= kept.length <= _TEN_YEARS and 0 <= kept.times < _OFTEN and abs(kept.until) < 1e11):
            raise ValueError("no ban of ours")
        if kept.reason not in ("auth", "replay", "malformed", "manual"):
            raise ValueError("no reason of ours")
        yield kept


class Sets(Protocol):
    """Where else bans are to be known."""

    def show(self, bans: list[Ban], *, anew: bool = False) -> bool:
        """These are all that are in force; whether that is known there now. Never raises.

        `anew`: whatever was shown before, others may have changed it.
        """


class BanKeeper:
    """Looks after both, while it is started."""

    def __init__(self, table: BanTable, file: BanFile, sets: Sets | None = None, *, audited: bool = False) -> None:
        """`audited`: there is an audit log, in which the ends of bans stand, too."""
        self._audited = audited
        self._table = table
        self._file = file
        self._sets = sets
        self._saved = table.epoch if file.path.exists() else None  # what the file has
        self._shown: int | None = None  # what the sets have,
        self._again = 0.0  # and when they are to be shown it again
        self._work = Group("bans")

    @property
    def path(self) -> str:
        """The file."""
        return str(self._file.path)

    def start(self) -> None:
        """Begin, or begin again."""
        if not len(self._work):
            self._shown, self._again = None, 0.0
            self._work.spawn(self._watch)

    def stop(self) -> None:
        """Save, and look no more. Idempotent."""
        if len(self._work):
            self._work.kill()
            self.look(show=False)

    def _watch(self) -> None:
        while True:
            began = time.perf_counter()
            self.look()
            sleep(max(_LOOK, (time.perf_counter() - began) / _SHARE))

    def look(self, *, show: bool = True) -> None:
        """Once: save and show what has changed."""
        epoch = self._table.epoch
        if epoch != self._saved and self._file.save(self._table):
            self._saved = epoch
        if show and self._sets is not None:
            self._show(self._sets, epoch)
        if show and self._audited:
            for ban in self._table.ended():
                audit.bounded(_ended(ban))

    def _show(self, sets: Sets, epoch: int) -> None:
        """What has changed at once, unless it has failed just now; and all of it now and then."""
        due = now() >= self._again
        if due or (self._shown is not None and self._shown != epoch):
            went = sets.show([ban for _, ban in self._table.bans()], anew=due)
            self._shown = epoch if went else None
            if due or not went:
                self._again = now() + (_ANEW if went else _RETRY)


def _ended(ban: Ban) -> Event:
    return Event("ban-end", prefix=shown(ban.network), seconds=ban.length, times=ban.times, reason=ban.reason)
