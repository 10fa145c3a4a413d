"""A server behind a circuit breaker."""

from __future__ import annotations

import logging

from gproxy.base.errors import ASKED, DialError, GproxyError, StreamClosed
from gproxy.base.iface import Connect, Stream
from gproxy.base.session import Session
from gproxy.limit.breaker import Breaker


def guarded(via: Connect, breaker: Breaker, log: logging.Logger) -> Connect:
    """Connects as before, but for what the breaker holds back: that fails at once, with the reason `breaker`."""

    def connect(session: Session) -> Stream:
        if not breaker.admit():
            raise DialError(f"the server is left alone for another {breaker.left():.0f} s", reason="breaker")
        try:
            stream = via(session)
        except GproxyError as why:
            if isinstance(why, StreamClosed) and why.reason in ASKED:
                breaker.gave_up()
            elif breaker.failed():
                log.warning("the server can't be reached (%s): it is left alone for %g s", why, breaker.pause)
            raise
        except BaseException:
            breaker.gave_up()
            raise
        if breaker.succeeded():
            log.warning("the server is reached again")
        return stream

    return connect
