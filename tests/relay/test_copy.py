"""What only the greenlet copy does; the promises of every relay are in tests/conformance/test_relays.py."""

from __future__ import annotations

import pytest

from gproxy.base.errors import CloseReason, StreamClosed
from gproxy.relay.copy import Copy
from gproxy.relay.terms import DEFAULT_TERMS, Outcome
from gproxy.rt.sync import sleep
from tests.support.pipe import PipeEnd, pipe

pytestmark = pytest.mark.usefixtures("no_leaks")


class Ending:
    """A stream whose reader is told this."""

    def __init__(self, inner: PipeEnd, reason: CloseReason) -> None:
        self._inner = inner
        self._reason = reason

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def recv(self) -> bytes:
        sleep(0)
        raise StreamClosed("said so", reason=self._reason)


def run(left: object, right: object) -> Outcome:
    return Copy(left, right, DEFAULT_TERMS, 3, 4).run()  # type: ignore[arg-type]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(
    ("reason", "ended", "blamed"),
    [
        ("eof", "ok", False), ("reset", "reset", True), ("timeout", "timeout", True), ("local", "local", True),
        ("idle", "idle", False), ("killed", "killed", False), ("drained", "drained", False),
    ],
)  # fmt: skip
def test_how_a_side_ends_is_how_the_relay_ends(side: str, reason: CloseReason, ended: str, blamed: bool) -> None:
    near, _ = pipe()
    other, _ = pipe()
    ending = Ending(near, reason)
    outcome = run(ending, other) if side == "left" else run(other, ending)
    assert (outcome.ended, outcome.culprit) == (ended, side if blamed else "")
    assert (outcome.up, outcome.down) == (3, 4)


def test_what_was_sent_ahead_of_it_is_counted() -> None:
    (near, left), (right, far) = pipe(), pipe()
    near.sendall(b"12")
    near.close_write()
    far.sendall(b"123")
    far.close_write()
    outcome = run(left, right)
    assert (outcome.up, outcome.down, outcome.ended) == (5, 7, "ok")
