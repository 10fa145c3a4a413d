"""Choosing the pump. Streams are asked what they are; nobody above needs to know."""

from __future__ import annotations

from gproxy.base.clock import now
from gproxy.base.errors import ASKED, StreamClosed
from gproxy.base.iface import Stream
from gproxy.relay.copy import Copy
from gproxy.relay.pump import Pump
from gproxy.relay.terms import DEFAULT_TERMS, Outcome, Side, Terms


def relay(left: Stream, right: Stream, terms: Terms = DEFAULT_TERMS) -> Outcome:
    """Move bytes between two streams until both have ended or one has failed. The streams stay their owners' to close.

    An end on one side is passed on as a half-close. Never raises for what the sides do.
    """
    started = now()
    up = down = 0
    culprit: Side = "right"
    try:
        if early := left.take():
            up = len(early)
            right.sendall(early)
        culprit = "left"
        if early := right.take():
            down = len(early)
            left.sendall(early)
    except StreamClosed as error:
        return Outcome(up, down, error.reason, now() - started, "" if error.reason in ASKED else culprit)
    left_fd = left.bare()
    right_fd = right.bare()
    if left_fd is not None and right_fd is not None:
        return Pump(left, right, left_fd, right_fd, terms, up, down).run()
    return Copy(left, right, terms, up, down).run()
