"""`gproxy status`: all generations are asked for their counters, and what has come in time is told.

Standard library only.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from gproxy import __version__
from gproxy.base.clock import now, wall
from gproxy.limit.bans import BanTable
from gproxy.proc.admin import Request
from gproxy.proc.banning import numbers_of
from gproxy.proc.generation import Generation
from gproxy.proc.orders import AskStatus, Status

if TYPE_CHECKING:
    from gproxy.proc.master import Master

# How long the answer waits for the counters, in seconds: a generation that is busy or hangs is told with its last ones.
_PATIENCE = 1.0


class StatusDesk:
    """The questions that wait for counters, each with the generations that have not told theirs yet."""

    def __init__(self, master: Master) -> None:
        self._master = master
        self._waiting: dict[int, tuple[Request, set[int]]] = {}
        self._last = 0
        self._table: BanTable | None = None

    def ask(self, request: Request) -> None:
        """Answer it when all counters have come, or soon."""
        self._last += 1
        number = self._last
        told = [each for each in self._master.generations() if each.state in {"serving", "draining"}]
        self._waiting[number] = (request, {each.number for each in told})
        for each in told:
            self._master.tell(each, AskStatus(number))
        self._master.timers.after(_PATIENCE if told else 0.0, lambda: self._answer(number))

    def hear(self, generation: Generation, message: Status) -> None:
        """A generation has told its counters."""
        self._master.tally.note(generation.number, message.counters)
        if message.request in self._waiting:
            missing = self._waiting[message.request][1]
            missing.discard(generation.number)
            if not missing:
                self._answer(message.request)

    def _answer(self, number: int) -> None:
        if number in self._waiting:
            request, _ = self._waiting.pop(number)
            request.answer(ok=True, **self._facts())

    def _facts(self) -> dict[str, Any]:
        master = self._master
        return {
            "version": __version__,
            "pid": os.getpid(),
            "uptime": round(wall() - master.started, 1),
            "listeners": [str(endpoint) for endpoint in master.slots.endpoints()],
            "generations": [self._generation(each) for each in master.generations()],
            "counters": master.tally.totals(),
            **self._bans(),
        }

    def _bans(self) -> dict[str, Any]:
        current = self._master.current
        if current is None or current.plan is None or current.plan.bans is None:
            return {}
        try:
            self._table = self._table or BanTable(self._master.memory)
        except OSError:
            return {}
        return {"bans": numbers_of(self._table)}

    def _generation(self, generation: Generation) -> dict[str, Any]:
        return {
            "number": generation.number,
            "state": generation.state,
            "age": round(now() - generation.since, 1),
            "active": self._master.tally.active(generation.number),
            "breakers": self._master.tally.breakers(generation.number),
            "workers": {str(number): pid for number, pid in sorted(generation.workers().items())},
        }
