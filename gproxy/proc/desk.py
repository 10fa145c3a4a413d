"""The control socket of solo mode: what `gproxy status`, `stop`, `ban`, `debug` and `route explain` ask
of a process that is all alone.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from typing import Any

from gproxy import __version__
from gproxy.app.messages import AskDebug, Snapshot
from gproxy.base.clock import now, wall
from gproxy.limit.bans import BanTable
from gproxy.limit.memory import Memory
from gproxy.observe import audit
from gproxy.observe.log import LEVELS
from gproxy.proc.acts import acted
from gproxy.proc.admin import AdminServer, Request
from gproxy.proc.banning import NO_BANS, BanDesk, numbers_of
from gproxy.proc.debug import checked
from gproxy.proc.tally import breakers_of
from gproxy.proc.watching import HubWatch
from gproxy.rt.group import Group

_log = logging.getLogger("gproxy.control")

_ALONE = "{} needs worker processes (runtime.workers)"


class SoloBans:
    """The bans of this process, and who answers questions about them."""

    def __init__(self, memory: Memory, allow: Sequence[str]) -> None:
        """`allow` are the prefixes that are never banned. Raises OSError."""
        self.allow = allow
        self.table = BanTable(memory)
        self.desk = BanDesk(lambda: memory, lambda level, text: _log.log(LEVELS[level], "%s", text))


class SoloDesk:
    """Answers in greenlets of its own, so that whoever asks and does not listen holds up nobody."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        listeners: Callable[[], list[str]],
        stop: Callable[[], object],
        look: Callable[[AskDebug], dict[str, Any]],
        bans: SoloBans | None = None,
    ) -> None:
        """`look` answers questions, and may take its time. `bans`: None if nobody is banned, by the configuration."""
        self._bans = bans
        self._look = look
        self._snapshot = snapshot
        self._listeners = listeners
        self._stop = stop
        self._began = now()
        self._started = wall()
        self._tasks = Group("control socket")
        self._admin = AdminServer(HubWatch(), lambda request: self._tasks.spawn(self._answer, request))

    def listen(self, path: str) -> None:
        """Be reachable there. Raises OSError."""
        self._admin.listen(path)

    def close(self) -> None:
        """Answer no more."""
        self._admin.close()
        self._tasks.kill()

    def _answer(self, request: Request) -> None:
        request = acted(request, audit.write)
        asked = request.values.get("ask")
        if asked == "status":
            request.answer(ok=True, **self._facts())
        elif asked == "stop":
            request.answer(ok=True)
            self._stop()
        elif asked in {"debug", "explain"}:
            self._debug(request)
        elif asked == "ban" and self._bans is not None:
            self._bans.desk.answer(request, self._bans.allow)
        elif asked == "ban":
            request.answer(ok=False, error=NO_BANS)
        elif asked in {"reload", "upgrade"}:
            request.answer(ok=False, error=_ALONE.format(asked))
        else:
            request.answer(ok=False, error="ask one of status, stop, ban, debug, explain")

    def _debug(self, request: Request) -> None:
        try:
            question: AskDebug = checked(request.values)
        except ValueError as why:
            request.answer(ok=False, error=str(why))
            return
        if question.worker not in {None, 0}:
            request.answer(ok=True, processes=[])
            return
        facts = self._look(question)
        request.answer(ok=True, processes=[{"generation": 1, "worker": 0, "pid": os.getpid(), **facts}])

    def _facts(self) -> dict[str, Any]:
        counted = self._snapshot()
        generation = {
            "number": 1, "state": "serving", "age": round(now() - self._began, 1), "active": counted.active,
            "workers": {"0": os.getpid()}, "breakers": breakers_of([counted.breakers]),
        }  # fmt: skip
        return {
            "version": __version__,
            "pid": os.getpid(),
            "uptime": round(wall() - self._started, 1),
            "listeners": self._listeners(),
            "generations": [generation],
            "counters": {
                "opened": counted.opened, "active": counted.active, "up": counted.up, "down": counted.down,
                "statuses": counted.statuses,
            },
            **({"bans": numbers_of(self._bans.table)} if self._bans is not None else {}),
        }  # fmt: skip
