"""The dispatcher: walk the rules, dial, reply, relay, and write down how it went."""

from __future__ import annotations

from gproxy.base.clock import now
from gproxy.base.errors import GproxyError, Limited, Rejected
from gproxy.base.iface import PacketConn, Reply, Stream
from gproxy.base.session import DialOptions, Held, Session
from gproxy.engine.decide import Decides
from gproxy.engine.nat import Nat
from gproxy.engine.sniffing import FirstBytes
from gproxy.limit.limits import KNOWN, ROUTED
from gproxy.net.farewell import hear_out
from gproxy.observe import access
from gproxy.observe.meter import Account, Meter
from gproxy.relay import Outcome, Terms, relay
from gproxy.relay.terms import DEFAULT_TERMS, FREE, Tolls


class RoutingDispatcher:
    """Sends sessions where the rules say."""

    def __init__(self, decider: Decides, meter: Meter, terms: Terms = DEFAULT_TERMS) -> None:
        self._decider = decider
        self._meter = meter
        self._terms = terms

    def stream(self, session: Session, stream: Stream, reply: Reply) -> None:
        """See Dispatcher."""
        self._meter.shook_hands(session)
        account = self._meter.account(session, "tcp")
        held = session.held.part() if session.held is not None else None
        try:
            self._stream(session, stream, reply, account, held)
        finally:
            if account is not None:
                account.leave()
            if held is not None:
                held.close()

    def _stream(
        self, session: Session, stream: Stream, reply: Reply, account: Account | None, held: Held | None
    ) -> None:
        began = now()
        opening = FirstBytes(stream, reply)
        try:
            if held is not None:
                _known(session, held)
            outbound = self._decider.decide(session, opening)
            if held is not None:
                held.look(session, ROUTED)
            dialling = now()
            upstream = outbound.dial(session.target, session)
            self._meter.dialled(session.outbound, dialling)
        except GproxyError as why:
            self._refuse(session, opening, reply, why, now() - began)
            return
        try:
            if not opening.accepted:
                reply.accept(upstream.bound() if reply.awaited else None)
            right = opening.watch(_cut(upstream, session.dial))
            tolls = Tolls(*held.tolls()) if held is not None else FREE
            way = account.way(session.outbound) if account is not None else None
            outcome = relay(opening.stream, right, self._terms, way, tolls)
            self._meter.answered(session.outbound, outcome.first)
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
        account = self._meter.account(session, "udp")
        held = session.held.part() if session.held is not None else None
        nat = Nat(session, conn, self._decider, account, held)
        try:
            if held is not None:
                _known(session, held)
            status, detail = nat.run()
        except Limited as why:
            status, detail = why.word, str(why)
        finally:
            if account is not None:
                account.leave()
            if held is not None:
                held.close()
        self._finish(session, status, nat.up, nat.down, now() - began, detail)

    def _finish(self, session: Session, status: str, up: int, down: int, seconds: float, detail: str) -> None:
        self._meter.record(status, up, down, session)
        access.finished(session, status, up, down, seconds, detail)


def _cut(upstream: Stream, dial: DialOptions) -> Stream:
    """The way to the target, where what the client says first is to be cut."""
    if not dial.tls_fragment and not dial.tls_record_fragment:
        return upstream
    from gproxy.layers.tls.firstcut import FirstCut
    from gproxy.layers.tls.fragment import Cutter

    delay = dial.tls_fragment_fallback_delay
    return FirstCut(upstream, Cutter(packets=dial.tls_fragment, records=dial.tls_record_fragment, delay=delay))


def _known(session: Session, held: Held) -> None:
    """The handshake is over, and it is known who the client is. Raises Limited."""
    assert session.held is not None, "what is held is a part of that"
    session.held.settled()
    held.look(session, KNOWN)


_BROKEN = {"": "", "left": "the client broke off", "right": "the target broke off"}
