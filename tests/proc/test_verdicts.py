from __future__ import annotations

from typing import Any, cast

from gproxy.proc.admin import Request
from gproxy.proc.verdicts import Verdicts


class Asked:
    """A request that keeps its answers."""

    def __init__(self) -> None:
        self.answers: list[dict[str, Any]] = []

    def answer(self, **values: Any) -> None:
        self.answers.append(values)


def test_each_gets_the_verdict_on_what_it_has_asked_for() -> None:
    verdicts = Verdicts()
    first, second, third = Asked(), Asked(), Asked()
    verdicts.wait(cast(Request, first))
    verdicts.wait_for_next(cast(Request, second))
    verdicts.wait_for_next(cast(Request, third))
    assert verdicts.tell(ok=True)
    assert (first.answers, second.answers, third.answers) == ([{"ok": True}], [], [])
    assert not verdicts.tell(ok=False)
    assert (first.answers, second.answers, third.answers) == ([{"ok": True}], [{"ok": False}], [{"ok": False}])
    assert not verdicts.tell(ok=True)
    assert len(second.answers) == 1


def test_a_signal_wants_a_reload_and_no_answer() -> None:
    verdicts = Verdicts()
    verdicts.wait(None)
    assert not verdicts.tell(ok=True)
    verdicts.wait_for_next(None)
    assert verdicts.tell(ok=True)
    assert not verdicts.tell(ok=True)
