"""The PROXY protocol in the server direction: required when set, read before anything else."""

from __future__ import annotations

from gproxy.base.defaults import PROXY_HEADER_TIMEOUT
from gproxy.base.errors import ProtocolError
from gproxy.base.iface import Accept, Stream
from gproxy.base.session import Session
from gproxy.net.buffered import Buffered
from gproxy.rt.deadline import deadline
from gproxy.wire.proxyproto import MAX_HEADER, decode_proxy_header


class ProxyProtocol:
    """A server layer: takes the source and the local address of a session from the header."""

    def accepting(self, then: Accept) -> Accept:
        """See ServerLayer."""

        def accept(stream: Stream, session: Session) -> None:
            buffered = Buffered(stream)
            with deadline(PROXY_HEADER_TIMEOUT, ProtocolError("no PROXY header in time", reason="timeout")):
                header = buffered.decode(decode_proxy_header, MAX_HEADER)
            if header.source is not None:
                session.source = header.source
                session.local = header.destination
                session.owner, session.dscp = None, 0  # those were the sender's of the header
            then(buffered, session)

        return accept
