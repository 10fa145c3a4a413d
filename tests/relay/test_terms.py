from __future__ import annotations

from gproxy.base.defaults import HALF_CLOSE_IDLE, TCP_IDLE
from gproxy.relay.terms import DEFAULT_TERMS, OTHER, Outcome, Terms


def test_the_terms_are_the_houses_unless_something_else_is_said() -> None:
    assert Terms() == DEFAULT_TERMS
    assert (DEFAULT_TERMS.idle, DEFAULT_TERMS.half_close_idle) == (TCP_IDLE, HALF_CLOSE_IDLE)


def test_nobody_is_to_blame_unless_somebody_is() -> None:
    assert Outcome(1, 2, "ok", 0.5).culprit == ""
    assert {OTHER["left"], OTHER["right"]} == {"left", "right"}
    assert OTHER["left"] == "right"
