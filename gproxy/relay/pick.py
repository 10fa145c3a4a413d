"""Choosing the pump. Streams are asked what they are; nobody above needs to know."""

from __future__ import annotations

from gproxy.base.clock import now
from gproxy.base.defaults import FIRST_PAYLOAD
from gproxy.base.errors import ASKED, StreamClosed
from gproxy.base.iface import Record, Stream
from gproxy.relay.copy import Copy
from gproxy.relay.pump import Pump
from gproxy.relay.record import Flows
from gproxy.relay.terms import DEFAULT_TERMS, FREE, Account, Outcome, Side, Terms, Tolls
from gproxy.rt.deadline import deadline


def relay(
    left: Stream,
    right: Stream,
    terms: Terms = DEFAULT_TERMS,
    account: Account | None = None,
    tolls: Tolls = FREE,
) -> Outcome:
    """Move bytes between two streams until both have ended or one has failed. The streams stay their owners' to close.

    An end on one side is passed on as a half-close. What is moved is put on the account, if there is one, at least
    once a second. Never raises for what the sides do.
    """
    started = now()
    up = down = 0
    culprit: Side = "left"
    try:
        early = left.take()
        if right.held() and not early:
            early = _first_payload(left)
        culprit = "right"
        if early or right.held():
            up = len(early)
            right.sendall(early)
        early = right.take()
        culprit = "left"
        if early:
            down = len(early)
            left.sendall(early)
    except StreamClosed as error:
        _settle(account, up, down)
        return Outcome(up, down, error.reason, now() - started, "" if error.reason in ASKED else culprit)
    if tolls.up is not None and up:
        tolls.up.pay(up)  # what waits for that is the next piece
    if tolls.down is not None and down:
        tolls.down.pay(down)
    left_end, right_end = _end(left), _end(right)
    if left_end is not None and right_end is not None:
        return Pump(left, right, terms, Flows(left_end, right_end).make, up, down, account, tolls).run()
    return Copy(left, right, terms, up, down, account, tolls).run()


class _Silent(Exception):
    """The client lets the target speak first."""


def _first_payload(left: Stream) -> bytes:
    """What the client says at once, so that it leaves together with the head that waits on the other side."""
    try:
        with deadline(FIRST_PAYLOAD, _Silent()):
            return left.recv()
    except _Silent:
        return b""


def _end(stream: Stream) -> int | Record | None:
    """The stream as a pump sees it: bare, sealed, or neither."""
    fd = stream.bare()
    return stream.record() if fd is None else fd


def _settle(account: Account | None, up: int, down: int) -> None:
    if account is not None:
        account.up += up
        account.down += down
