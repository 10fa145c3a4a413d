"""`gproxy debug` and `gproxy route explain`: all processes of the generations are asked, or one,
and what has come in time is told.

Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from gproxy.app.messages import CONNECTION, EXPLAIN_LIMIT, AskDebug, Debugged
from gproxy.proc.admin import Request
from gproxy.proc.generation import Generation

if TYPE_CHECKING:
    from gproxy.proc.master import Master

QUESTIONS: Final = ("stacks", "lag", "memory", "profile")
LONGEST: Final = 60.0

_LONGEST_TEXT = 1024  # characters of what is said about a connection

# What a process may need beyond the time that it was told to measure, in seconds. One that hangs says nothing.
_PATIENCE = 5.0

# More questions than this at once are refused.
_MOST = 4

_SILENT = "no answer: its hub does not turn, or it has ended"


@dataclass(slots=True)
class _Waiting:
    request: Request
    missing: dict[tuple[int, int], int]  # pids, by generation and worker
    answers: list[dict[str, Any]] = field(default_factory=list)


def checked(values: dict[str, Any]) -> AskDebug:
    """The question of a request; it is still without a number. Raises ValueError."""
    if values.get("ask") == "explain":
        return _about_connection(values)
    what, seconds, worker = values.get("what"), values.get("seconds", 1.0), values.get("worker")
    if what not in QUESTIONS:
        raise ValueError(f"what is one of {', '.join(QUESTIONS)}")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= LONGEST:
        raise ValueError(f"a measurement takes {LONGEST:g} seconds at most")
    if worker is not None and (isinstance(worker, bool) or not isinstance(worker, int)):
        raise ValueError("a worker is a number; -1 is control")
    return AskDebug(0, str(what), float(seconds), worker)


def _about_connection(values: dict[str, Any]) -> AskDebug:
    """One worker is asked. Raises ValueError."""
    connection, worker = values.get("connection"), values.get("worker", 0)
    if not isinstance(connection, dict) or not connection.get("target"):
        raise ValueError("a connection is an object with a `target` at least")
    for name, value in connection.items():
        if name not in CONNECTION:
            raise ValueError(f"a connection has {', '.join(CONNECTION)}, and no {name[:32]!r}")
        if not isinstance(value, str) or len(value) > _LONGEST_TEXT:
            raise ValueError(f"`{name}` is a text of {_LONGEST_TEXT} characters at most")
    if isinstance(worker, bool) or not isinstance(worker, int) or worker < 0:
        raise ValueError("a worker is a number, the first one is 0")
    return AskDebug(0, "explain", EXPLAIN_LIMIT, worker, connection)


class DebugDesk:
    """The questions that wait for answers."""

    def __init__(self, master: Master) -> None:
        self._master = master
        self._waiting: dict[int, _Waiting] = {}
        self._last = 0

    def ask(self, request: Request) -> None:
        """Answer it when all have answered, or are late."""
        try:
            asked = checked(request.values)
        except ValueError as why:
            request.answer(ok=False, error=str(why))
            return
        if len(self._waiting) >= _MOST:
            request.answer(ok=False, error="too many such questions at once")
            return
        self._last += 1
        number = self._last
        told = [each for each in self._master.generations() if _knows(each)]
        if asked.connection is not None:  # what serves new clients
            told = [each for each in told if each.state == "serving"]
        missing = {
            (each.number, worker): pid
            for each in told
            for worker, pid in each.processes.items()
            if asked.worker in {None, worker}
        }
        self._waiting[number] = _Waiting(request, missing)
        for each in told:
            self._master.tell(each, replace(asked, request=number))
        wait = asked.seconds + _PATIENCE if missing else 0.0
        self._master.timers.after(wait, lambda: self._answer(number))

    def hear(self, generation: Generation, message: Debugged) -> None:
        """A process has answered."""
        waiting = self._waiting.get(message.request)
        if waiting is None or waiting.missing.pop((generation.number, message.worker), None) is None:
            return
        waiting.answers.append(
            {"generation": generation.number, "worker": message.worker, "pid": message.pid, **message.facts}
        )
        if not waiting.missing:
            self._answer(message.request)

    def _answer(self, number: int) -> None:
        waiting = self._waiting.pop(number, None)
        if waiting is None:
            return
        for (generation, worker), pid in waiting.missing.items():
            waiting.answers.append({"generation": generation, "worker": worker, "pid": pid, "error": _SILENT})
        waiting.answers.sort(key=lambda each: (each["generation"], each["worker"]))
        waiting.request.answer(ok=True, processes=waiting.answers)


def _knows(generation: Generation) -> bool:
    """Whether it is up, and of code that knows the question: others would take it for the end of the master."""
    plan = generation.plan
    return plan is not None and plan.debug and generation.state in {"serving", "draining"}
