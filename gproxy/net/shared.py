"""What many want and one dials for all, such as a link to a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from gproxy.base.errors import DialError, DialReason
from gproxy.rt.sync import Lock

_T = TypeVar("_T")


class SharedDial:
    """One dial at a time. Who waits while another one's dial fails, fails with it."""

    __slots__ = ("_failed", "_turn")

    def __init__(self) -> None:
        self._turn = Lock()
        self._failed: tuple[str, DialReason] | None = None  # a new one for each dial that has failed

    def get(self, find: Callable[[], _T | None], dial: Callable[[], _T | None]) -> _T:
        """What `find` finds, or `dial` brings; if that brings nothing, it has made something to be found.

        Raises DialError.
        """
        before = self._failed
        while True:
            if (found := find()) is not None:
                return found
            with self._turn:
                if (found := find()) is not None:
                    return found
                if self._failed is not before and self._failed is not None:
                    raise DialError(self._failed[0], reason=self._failed[1])
                try:
                    found = dial()
                except DialError as error:
                    self._failed = (error.message, error.reason)  # type: ignore[assignment]  # it takes no others
                    raise
            if found is not None:
                return found
