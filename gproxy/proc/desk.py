"""The control socket of solo mode: what `gproxy status`, `stop`, `debug` and `route explain` ask
of a process that is all alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from gproxy import __version__
from gproxy.app.messages import AskDebug, Snapshot
from gproxy.base.clock import now, wall
from gproxy.observe import audit
from gproxy.proc.acts import acted
from gproxy.proc.admin import AdminServer, Request
from gproxy.proc.debug import checked
from gproxy.proc.watching import HubWatch
from gproxy.rt.group import Group

_ALONE = "{} needs worker processes (runtime.workers)"


class SoloDesk:
    """Answers in greenlets of its own, so that whoever asks and does not listen holds up nobody."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        listeners: Callable[[], list[str]],
        stop: Callable[[], object],
        look: Callable[[AskDebug], dict[str, Any]],
    ) -> None:
        """`look` answers questions, and may take its time."""
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
        elif asked in {"reload", "upgrade", "ban"}:
            request.answer(ok=False, error=_ALONE.format(asked))
        else:
            request.answer(ok=False, error="ask one of status, stop, debug, explain")

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
            "workers": {"0": os.getpid()},
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
        }  # fmt: skip
