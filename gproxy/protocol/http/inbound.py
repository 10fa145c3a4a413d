"""The server side of HTTP proxying."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gproxy.base.errors import GproxyError, ProtocolError, StreamClosed
from gproxy.base.iface import Entrance, Stream, StreamEntrance
from gproxy.base.session import Session
from gproxy.base.wiring import InboundWiring
from gproxy.net.buffered import Buffered
from gproxy.net.farewell import hear_out
from gproxy.protocol.http.forward import Exchange
from gproxy.protocol.http.intake import Intake, Request
from gproxy.protocol.http.options import HttpInboundOptions
from gproxy.protocol.http.refusal import ForwardReply, TunnelReply, encode_refusal, tell
from gproxy.schema.users import Users

# Nobody is there to be told, or was told already.
_TOLD = ("empty", "missing")


class HttpInbound:
    """Serves CONNECT, after which the connection is a tunnel, and requests in absolute form, one after the other.

    Each connection to a server is a session of its own, with its own line in the log; requests for the same server and
    user follow each other on it.
    """

    def __init__(self, options: HttpInboundOptions, wiring: InboundWiring) -> None:
        self._users = Users(options.users)
        self._dispatcher = wiring.dispatcher
        self._log = wiring.log

    def entrances(self) -> Sequence[Entrance]:
        """One, for streams."""
        return (StreamEntrance(self.accept),)

    def accept(self, stream: Stream, session: Session) -> None:
        """Serve one client. Raises ProtocolError and its kin after the client has got the response for it."""
        client = stream if isinstance(stream, Buffered) else Buffered(stream)
        try:
            self._serve(client, session)
        except ProtocolError as why:
            if why.reason not in _TOLD:
                tell(client, encode_refusal(why))
                hear_out(client)
            raise

    def _serve(self, client: Buffered, session: Session) -> None:
        intake = Intake(client, self._users)
        request: Request | None = intake.first()
        missing: ProtocolError | None = None
        while request is not None:
            missing = request.missing
            if missing is not None:
                request = self._refuse(client, intake, request, missing)
            elif request.forward is not None:
                request = self._forward(client, intake, request, session)
            else:
                self._tunnel(client, request, session)
                return
        if missing is not None:  # the client left without trying
            raise missing

    def _tunnel(self, client: Buffered, request: Request, session: Session) -> None:
        session.target, session.user = request.target, request.user
        reply = TunnelReply(client)
        self._dispatcher.stream(session, client, reply)
        if reply.rejected:
            hear_out(client)

    def _forward(self, client: Buffered, intake: Intake, request: Request, session: Session) -> Request | None:
        """Serve requests over one connection to a server; gives the request that must go another way."""
        exchange = Exchange(client, intake, request)
        reply = ForwardReply()
        self._dispatcher.stream(replace(session, target=request.target, user=request.user), exchange, reply)
        exchange.forget_time()
        if reply.why is not None:
            return self._refuse(client, intake, request, reply.why)
        if not reply.accepted or exchange.unusable():  # a rule dropped it, or nothing more can be said
            return None
        if exchange.failure is not None:
            raise exchange.failure
        if not exchange.answered():
            return self._unanswered(client, intake, exchange, session)
        if exchange.closing:
            hear_out(client)
            return None
        return exchange.next or intake.following()

    def _unanswered(self, client: Buffered, intake: Intake, exchange: Exchange, session: Session) -> Request | None:
        if exchange.worth_replay():
            return exchange.request
        if exchange.fault is not None:
            target, fault = exchange.request.target, exchange.fault
            self._log.info("session %d: %s gave no valid response: %s", session.id, target, fault)
        why = StreamClosed("no valid response from the server")
        return self._refuse(client, intake, exchange.request, why)

    @staticmethod
    def _refuse(client: Buffered, intake: Intake, request: Request, why: GproxyError) -> Request | None:
        """Answer a request with a refusal; gives the next request if the connection can go on."""
        keep = request.keep and request.body.complete
        if not tell(client, encode_refusal(why, close=not keep, head_only=request.head.method == b"HEAD")):
            return None
        if keep:
            return intake.following()
        hear_out(client)
        return None
