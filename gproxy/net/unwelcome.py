"""A peer that failed to prove who it is: it learns nothing, not even that it failed.

Whoever probes a port tells servers apart by what they answer, by how many bytes they read before they hang up, and by
when. So such a peer is read to its end, or to the deadline that a silent one would meet, and then closed like that one.
"""

from __future__ import annotations

from gproxy.base.clock import now
from gproxy.base.errors import GproxyError, StreamClosed
from gproxy.base.iface import Stream
from gproxy.base.session import Session
from gproxy.rt.deadline import deadline
from gproxy.rt.sync import sleep

# A peer that sends much is read slowly, so that it can't make us busy: its own send buffer fills up meanwhile.
_PAUSE = 0.05


class _Over(GproxyError):
    """The time is over."""


def swallow(stream: Stream, until: float, session: Session, why: GproxyError) -> None:
    """Read and forget until the peer ends or the clock shows `until`. Never raises for what the peer does.

    `why` the session has failed counts from now on, not only when this is over: meanwhile he could try it again.
    """
    session.fail(why)
    seconds = until - now()
    if seconds <= 0:
        return
    try:
        with deadline(seconds, _Over()):
            while stream.recv():
                sleep(_PAUSE)
    except (_Over, StreamClosed):
        return
