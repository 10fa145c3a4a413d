"""The end of a stream whose peer may still be sending."""

from __future__ import annotations

import contextlib

from gproxy.base.defaults import LINGER
from gproxy.base.errors import StreamClosed
from gproxy.base.iface import Stream
from gproxy.rt.deadline import deadline


def hear_out(stream: Stream) -> None:
    """Say that this was all, and listen until the peer has closed too, for a while. The caller closes then.

    A close with unread bytes would be a reset, which can destroy what was said last before the peer has read it
    (RFC 9112 section 9.6).
    """
    stream.close_write()
    with contextlib.suppress(StreamClosed), deadline(LINGER, StreamClosed("not heard out", reason="timeout")):
        while stream.recv():
            pass
