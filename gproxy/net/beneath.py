"""The socket that lies beneath a stream, for options that are a whole connection's."""

from __future__ import annotations

from gproxy.base.iface import Stream
from gproxy.net.around import Around
from gproxy.net.buffered import Buffered
from gproxy.net.stream import SocketStream


def socket_beneath(stream: Stream) -> SocketStream | None:
    """The socket that carries this stream and no other; None if it shares one."""
    while True:
        if isinstance(stream, Around):
            stream = stream.beneath
        elif isinstance(stream, Buffered):
            stream = stream.inner
        else:
            return stream if isinstance(stream, SocketStream) else None
