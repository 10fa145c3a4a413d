from __future__ import annotations

from gproxy.limit.memory import Memory
from gproxy.service.metrics.board import Board, Shown
from gproxy.service.metrics.totals import Totals
from gproxy.service.metrics.view import View


def test_the_workers_of_this_generation_are_its_own() -> None:
    memory = Memory()
    view = View(Totals(memory, 1), Board(memory), 1, 2)
    view.board.join()
    for shown, own, serving in (
        (Shown(0, 2, "serving"), 1, 1),
        (Shown(0, 2, "draining"), 1, 0),
        (Shown(0, 1, "serving"), 0, 0),
        (Shown(-1, 2, "serving"), 0, 0),
    ):
        view.board.show(shown)
        assert (len(view.own()), len(view.serving())) == (own, serving)


def test_facts_are_put_together() -> None:
    memory = Memory()
    view = View(Totals(memory, 1), Board(memory), 1)
    view.facts += [lambda: [("a", [], 1.0)], lambda: iter([("b", ["x"], 2.0)])]
    assert view.known() == [("a", [], 1.0), ("b", ["x"], 2.0)]
