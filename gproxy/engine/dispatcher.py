"""The dispatcher: walk the rules, dial, reply, relay, and write down how it went."""

from __future__ import annotations

from gproxy.base.clock import now
from gproxy.base.errors import GproxyError, Rejected
from gproxy.base.iface import PacketConn, Reply, Stream
from gproxy.base.session import Session
from gproxy.engine.decide import Decides
from gproxy.engine.nat import Nat
from gproxy.engine.sniffing import FirstBytes
from gproxy.net.farewell import hear_out
from gproxy.observe import access
from gproxy.observe.meter import Account, Meter
from gproxy.relay import Outcome, Terms, relay
from gproxy.relay.terms import DEFAULT_TERMS


class RoutingDispatcher:
    """Sends sessions where the rules say."""

    def __init__(self, decider: Decides, meter: Meter, terms: Terms = DEFAULT_TERMS) -> None:
        self._decider = decider
        self._meter = meter
        self._terms = terms

    def stream(self, session: Session, stream: Stream, reply: Reply) -> None:
        """See Dispatcher."""
        if not session.user:
            self._stream(session, stream, reply, None)
            return
        account = self._meter.enter(session.inbound, session.user, "tcp")
        try:
            self._stream(session, stream, reply, account)
        finally:
            account.leave()

    def _stream(self, session: Session, stream: Stream, reply: Reply, account: Account | None) -> None:
        began = now()
        opening = FirstBytes(stream, reply)
        try:
            outbound = self._decider.decide(session, opening)
            upstream = outbound.dial(session.target, session)
        except GproxyError as why:
            self._refuse(session, opening, reply, why, now() - began)
            return
        try:
            if not opening.accepted:
                reply.accept(upstream.bound())
            right = opening.watch(upstream)
            outcome = relay(opening.stream, right, self._terms, account)
            self._part(stream, upstream, outcome)
        finally:
            upstream.close()
        status = "ok" if outcome.ended == "ok" else f"closed-{outcome.ended}"
        self._finish(session, status, outcome.up, outcome.down, now() - began, _BROKEN[outcome.culprit])

    def _refuse(self, session: Session, opening: FirstBytes, reply: Reply, why: GproxyError, seconds: float) -> None:
        if not (isinstance(why, Rejected) and why.drop):
            if opening.accepted:  # it was told yes before, and shall not take this for an end in order
                opening.stream.abort()
            else:
                reply.reject(why)
        self._finish(session, why.word, 0, 0, seconds, str(why))

    @staticmethod
    def _part(stream: Stream, upstream: Stream, outcome: Outcome) -> None:
        """A broken side is passed on as broken: what the other one has got is not the whole."""
        if outcome.culprit == "right":
            stream.abort()
        elif outcome.culprit == "left":
            upstream.abort()
        elif outcome.ended == "reset":
            hear_out(stream)  # the target has answered and hung up in order, before it had heard all

    def packets(self, session: Session, conn: PacketConn) -> None:
        """See Dispatcher."""
        began = now()
        account = self._meter.enter(session.inbound, session.user, "udp") if session.user else None
        nat = Nat(session, conn, self._decider, account)
        try:
            status, detail = nat.run()
        finally:
            if account is not None:
                account.leave()
        self._finish(session, status, nat.up, nat.down, now() - began, detail)

    def _finish(self, session: Session, status: str, up: int, down: int, seconds: float, detail: str) -> None:
        self._meter.record(status, up, down)
        access.finished(session, status, up, down, seconds, detail)


_BROKEN = {"": "", "left": "the client broke off", "right": "the target broke off"}
