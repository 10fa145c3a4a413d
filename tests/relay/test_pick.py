"""How a relay begins; which pump is chosen for what is in tests/conformance/test_relays.py."""

from __future__ import annotations

import pytest

from gproxy.base.errors import CloseReason, StreamClosed
from gproxy.base.iface import Buffer
from gproxy.net.buffered import Buffered
from gproxy.relay import relay
from tests.support.pipe import PipeEnd, pipe

pytestmark = pytest.mark.usefixtures("no_leaks")


class Refusing:
    """A stream that takes nothing more."""

    def __init__(self, inner: PipeEnd, reason: CloseReason) -> None:
        self._inner = inner
        self._reason = reason

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def sendall(self, data: Buffer, /) -> None:
        raise StreamClosed("no more", reason=self._reason)


@pytest.mark.parametrize(
    ("reason", "blamed"), [("reset", True), ("timeout", True), ("killed", False), ("drained", False)]
)
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_side_that_takes_not_even_the_first_bytes(side: str, reason: CloseReason, blamed: bool) -> None:
    refusing = Refusing(pipe()[0], reason)
    other = Buffered(pipe()[0], b"early")
    outcome = relay(refusing, other) if side == "left" else relay(other, refusing)  # type: ignore[arg-type]
    assert (outcome.ended, outcome.culprit) == (reason, side if blamed else "")
    assert outcome.up + outcome.down == 5


def test_both_have_something_to_say_first() -> None:
    (near, left), (right, far) = pipe(), pipe()
    near.close_write()
    far.close_write()
    outcome = relay(Buffered(left, b"up"), Buffered(right, b"down"))
    assert (far.recv(), near.recv()) == (b"up", b"down")
    assert (outcome.up, outcome.down, outcome.ended) == (2, 4, "ok")
