"""Deadlines and cancellation as scopes.

    with deadline(15, ProtocolError("the handshake took too long", reason="timeout")):
        request = stream.decode(decode_request, LIMIT)

No call takes a timeout of its own: whoever knows how long a phase may take puts a scope around it.
"""

from __future__ import annotations

from types import TracebackType

from gevent import get_hub, getcurrent
from greenlet import greenlet


class Deadline:
    """A running deadline; leaving the scope ends it. gevent's Timeout does the same for three times the price."""

    __slots__ = ("_timer",)

    def __init__(self, seconds: float, error: BaseException) -> None:
        self._timer = get_hub().loop.timer(seconds) if seconds > 0 else None
        if self._timer is not None:
            # The loop's idea of now is as old as its last turn: without the update, time spent since then would count.
            self._timer.start(getcurrent().throw, error, update=True)

    def __enter__(self) -> Deadline:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None


def deadline(seconds: float, error: BaseException) -> Deadline:
    """A scope that raises `error` inside itself when it lasts longer than `seconds` from now. 0 or less: no limit."""
    return Deadline(seconds, error)


class Cancelled(BaseException):
    """Raised inside a Cancel scope by another greenlet's `fire`. That scope swallows it, and no other."""

    def __init__(self, scope: Cancel) -> None:
        super().__init__()
        self.scope = scope


class Cancel:
    """A scope that another greenlet can end.

    `fire` may come before, inside or after the scope; entering a fired scope ends it at once at the first wait. After
    the scope, `fired` tells what happened.
    """

    __slots__ = ("_inside", "fired")

    def __init__(self) -> None:
        self._inside: greenlet | None = None
        self.fired = False

    def fire(self) -> None:
        """End the scope: whoever is inside, waiting, leaves it."""
        if self.fired:
            return
        self.fired = True
        if self._inside is not None:
            get_hub().loop.run_callback(self._throw)

    def _throw(self) -> None:
        if self._inside is not None:
            self._inside.throw(Cancelled(self))

    def __enter__(self) -> Cancel:
        self._inside = getcurrent()
        if self.fired:
            get_hub().loop.run_callback(self._throw)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._inside = None
        return isinstance(error, Cancelled) and error.scope is self
