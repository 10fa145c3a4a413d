"""The load generator's process: one object in a forked child, whose methods the bench calls over a pipe."""

from __future__ import annotations

import signal
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Concatenate, Generic, ParamSpec, TypeVar, cast

from tests.bench import sandbox

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")


class WorkFailed(Exception):
    """A call in the child raised; the text says what."""


class Worker(Generic[T]):
    """A child process that holds `make()` and runs its methods, one at a time."""

    def __init__(self, make: Callable[[], T]) -> None:
        context = get_context("fork")
        self._pipe, theirs = context.Pipe()
        self._child = context.Process(target=_serve, args=(make, theirs), daemon=True)
        self._child.start()
        theirs.close()

    def call(self, method: Callable[Concatenate[T, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run one method in the child and return what it returns. Raises WorkFailed if it raised or the child died."""
        return self.begin(method, *args, **kwargs)()

    def begin(self, method: Callable[Concatenate[T, P], R], *args: P.args, **kwargs: P.kwargs) -> Callable[[], R]:
        """The same, for several children at once: what is returned waits for the result. Raises WorkFailed."""
        try:
            self._pipe.send((method, args, kwargs))
        except BrokenPipeError as error:
            raise WorkFailed("the load process ended") from error

        def result() -> R:
            try:
                ok, returned = self._pipe.recv()
            except EOFError as error:
                raise WorkFailed("the load process ended") from error
            if not ok:
                raise WorkFailed(f"{method.__qualname__}: {returned}")
            return cast(R, returned)

        return result

    @property
    def pid(self) -> int:
        """The child's process id."""
        assert self._child.pid is not None
        return self._child.pid

    def stop(self) -> None:
        """End the child."""
        self._child.kill()
        self._child.join()
        self._pipe.close()


def _serve(make: Callable[[], T], pipe: Connection) -> None:
    sandbox.die_with_parent()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the parent's handler came along with the fork
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when the bench is over
    served = make()
    while True:
        method, args, kwargs = pipe.recv()
        try:
            answer = (True, method(served, *args, **kwargs))
        except (OSError, ValueError) as error:
            answer = (False, f"{type(error).__name__}: {error}")
        pipe.send(answer)
