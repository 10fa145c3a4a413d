"""Who has asked for a reload, and waits to be told what came of it. Standard library only."""

from __future__ import annotations

from typing import Any

from gproxy.proc.admin import Request


class Verdicts:
    """A reload that is asked for while one is under way comes after it: that one may have read the file before the
    last change to it.
    """

    def __init__(self) -> None:
        self._asked: list[Request] = []  # who wait for the verdict on what is coming
        self._asked_again: list[Request] = []  # who wait for the verdict on what comes after that
        self._again = False

    def wait(self, request: Request | None) -> None:
        """For what is coming; None: whoever asked wants no answer."""
        self._asked += [request] if request is not None else []

    def wait_for_next(self, request: Request | None) -> None:
        """For what comes after that."""
        self._again = True
        self._asked_again += [request] if request is not None else []

    def tell(self, **verdict: Any) -> bool:
        """On what was coming; whether another reload was asked for meanwhile."""
        for each in self._asked:
            each.answer(**verdict)
        self._asked, self._asked_again = self._asked_again, []
        again, self._again = self._again, False
        return again
