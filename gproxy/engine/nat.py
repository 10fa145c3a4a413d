"""One client's datagrams: a decision for each destination, one upstream for each chosen outbound (full cone)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from functools import partial
from math import inf

from gproxy.base.address import UNSPECIFIED, Address
from gproxy.base.clock import now
from gproxy.base.defaults import UDP_DECISIONS, UDP_INBOX, UDP_PORT_TIMEOUTS, UDP_PROTOCOL_TIMEOUTS, UDP_RETRY
from gproxy.base.errors import ASKED, Denied, DialError, GproxyError, StreamClosed
from gproxy.base.iface import Buffer, Outbound, PacketConn, Prompt, Take
from gproxy.base.session import Held, Session
from gproxy.engine.decide import Decides
from gproxy.engine.sniffing import FirstDatagrams
from gproxy.limit.limits import ROUTED
from gproxy.limit.tolls import SharedToll
from gproxy.observe.meter import Account
from gproxy.relay.idle import SWEEPER
from gproxy.rt.deadline import deadline
from gproxy.rt.group import Group

# How a client's own transport may end that is worth telling: from outside, or by what is no protocol. That a client
# just leaves is how UDP sessions end.
_TOLD = ASKED | {"corrupt", "truncated"}

# What a datagram may have waited for, and all others with it: a name that does not resolve.
_SLOW = ("dns", "timeout")


@dataclass(slots=True)
class _Way:
    """How datagrams for one destination travel. No upstream: they are dropped, until it is tried again."""

    upstream: PacketConn | None
    target: Address
    again: float = inf  # when a way that could not be opened is tried again, by `now`
    prompt: bool = False  # sending on it never waits
    toll: SharedToll | None = None  # what it costs to send on it


_NOWHERE = _Way(None, UNSPECIFIED)


class _Silence(Exception):
    """No further datagram in time."""


class Nat:
    """Serves one client until it is silent for long enough, leaves, or is ended.

    Datagrams for known destinations move in the hub, where both sides are prompt; the greenlets here see the others.
    """

    def __init__(
        self,
        session: Session,
        conn: PacketConn,
        decider: Decides,
        account: Account | None = None,
        held: Held | None = None,
    ) -> None:
        self._account = account
        self._held = held
        self._parts: dict[PacketConn, Held] = {}  # of what is held: those of the upstreams
        self.up = 0
        self.down = 0
        self._datagrams = 0
        self.seen = -1
        self.since = 0.0
        self._session = session
        self._conn = conn
        self._decider = decider
        self._patience = 0.0
        self._prompt = isinstance(conn, Prompt) and conn.prompt(session.source)
        self._last: tuple[Address | None, _Way] = None, _NOWHERE  # of the prompt ways: datagrams come in runs
        self._ways: dict[Address, _Way] = {}
        self._upstreams: dict[tuple[str, Address | None], PacketConn] = {}
        self._waiting: deque[tuple[bytes, Address]] = deque()  # what came while another destination was sniffed
        self._asked: dict[Address, Address] = {}  # where a rule sent datagrams → where the client wanted them
        self._end = "ok"
        self._detail = ""
        self._children = Group("udp session")

    def run(self) -> tuple[str, str]:
        """The status word and its detail, when all is over. Never raises for what the peers do."""
        SWEEPER.add(self)
        try:
            with self._children:
                self._forward()
        except StreamClosed as error:
            if self._end == "ok" and error.reason in _TOLD:
                self._end = error.word
        except GproxyError as error:
            self._end, self._detail = error.word, str(error)
        finally:
            if isinstance(self._conn, Prompt):
                self._conn.offer(None)
            SWEEPER.remove(self)
            for upstream in list(self._upstreams.values()):
                self._close(upstream)
        return self._end, self._detail

    def _forward(self) -> None:
        ways = self._ways  # for as long as we run: `_lose` and `_open` change it in place
        recv_from = self._conn.recv_from
        if isinstance(self._conn, Prompt):
            self._conn.offer(self._take)
        while True:
            data, to = self._waiting.popleft() if self._waiting else recv_from()
            way = ways.get(to)
            if way is None or (way.upstream is None and now() >= way.again):
                self._begin(data, to)
            else:
                self._pass_on(way, data)

    def _pass_on(self, way: _Way, data: Buffer) -> None:
        try:
            self._send(way, data)
        except StreamClosed as error:
            if error.reason in ASKED:
                raise
            self._lose(way.upstream)

    def _begin(self, data: Buffer, to: Address) -> None:
        """Open the way to a destination, and send all that has come for it by then."""
        opening = FirstDatagrams(data, to, self._following)
        way = self._open(to, opening)
        for held in opening.held:
            self._pass_on(way, held)
        while (more := self._waiting_for(to)) is not None:
            self._pass_on(way, more)

    def _following(self, to: Address, seconds: float) -> bytes | None:
        """The next datagram for a destination that is being sniffed; None: none within so many seconds.

        Those for others go their ways meanwhile, if these are open.
        """
        waiting = self._waiting_for(to)
        if waiting is not None:
            return waiting
        until = now() + seconds
        while (left := until - now()) > 0 and len(self._waiting) < UDP_INBOX:
            try:
                with deadline(left, _Silence()):
                    data, where = self._conn.recv_from()
            except _Silence:
                return None
            except StreamClosed as error:
                if error.reason in ASKED:
                    raise
                return None  # whoever reads next hears it again
            if where == to:
                return bytes(data)
            way = self._ways.get(where)
            if way is None or (way.upstream is None and now() >= way.again):
                self._waiting.append((bytes(data), where))
            else:
                self._pass_on(way, data)
        return None

    def _waiting_for(self, to: Address) -> bytes | None:
        for index, (data, where) in enumerate(self._waiting):
            if where == to:
                del self._waiting[index]
                return data
        return None

    def _take(self, data: Buffer, to: Address) -> bool:
        """See Take."""
        last, way = self._last
        if to is not last:
            known = self._ways.get(to)
            if known is None or not known.prompt:
                return False
            way = known
            self._last = to, way
        try:
            self._send(way, data)
        except StreamClosed:
            self._lose(way.upstream)
        return True

    def _send(self, way: _Way, data: Buffer) -> None:
        """Raises StreamClosed when the upstream has ended."""
        if way.upstream is None or (way.toll is not None and not way.toll.afford(len(data))):
            return
        self.up += len(data)
        self._datagrams += 1
        if self._account is not None:
            self._account.up_packets += 1
        try:
            way.upstream.send_to(data, way.target)
        except StreamClosed:
            raise
        except GproxyError as why:  # this destination can't be reached; others can
            self._note(why)
            if isinstance(why, DialError) and why.reason in _SLOW:
                way.upstream, way.again, way.prompt = None, now() + UDP_RETRY, False
                self._last = None, _NOWHERE
            elif isinstance(why, Denied):
                way.upstream, way.prompt = None, False
                self._last = None, _NOWHERE

    def _open(self, to: Address, opening: FirstDatagrams) -> _Way:
        """Decide where datagrams for `to` go. A refusal is remembered too, and a failure for a while."""
        if len(self._ways) >= UDP_DECISIONS:
            self._forget()
        one = replace(self._session, target=to, asked=None, addresses=(), sniffed=None)
        way = _Way(None, to)
        try:
            outbound = self._decider.decide(one, opening)
            way.target = one.target
            way.upstream = upstream = self._upstream(one, outbound)
            way.prompt = isinstance(upstream, Prompt) and upstream.prompt(way.target)
            way.toll = self._parts[upstream].tolls()[0] if upstream in self._parts else None
        except StreamClosed as ended:
            if ended.reason in ASKED:
                raise
            self._note(ended)
        except GproxyError as why:
            self._note(why)
            if isinstance(why, DialError):
                way.again = now() + UDP_RETRY
        if way.target != to:
            self._asked[way.target] = to
        self._learn(one)
        self._ways[to] = way
        return way

    def _forget(self) -> None:
        """There are too many destinations to remember. Upstreams that are connected to one each go with them."""
        self._ways.clear()
        self._asked.clear()
        self._last = None, _NOWHERE
        for key in [key for key in self._upstreams if key[1] is not None]:
            self._close(self._upstreams.pop(key))

    def _upstream(self, one: Session, outbound: Outbound) -> PacketConn:
        # A connected upstream hears one target only, so it is that target's own.
        key = (one.outbound, one.target if one.dial.udp_connect else None)
        known = self._upstreams.get(key)
        if known is None:
            part = self._held.part() if self._held is not None else None
            if part is not None:
                part.look(one, ROUTED)
            try:
                known = outbound.dial_packet(one.target, one)
            except BaseException:
                if part is not None:
                    part.close()
                raise
            self._upstreams[key] = known
            if self._account is not None:  # the bytes of all are put down to the first
                SWEEPER.charge(self, self._account.way(one.outbound))
            if part is not None:
                self._parts[known] = part
            self._children.spawn(self._backward, known)
        return known

    def _close(self, upstream: PacketConn) -> None:
        upstream.close()
        part = self._parts.pop(upstream, None)
        if part is not None:
            part.close()

    def _learn(self, one: Session) -> None:
        """The session's own facts are those of its first destination: that is what its log line tells."""
        session = self._session
        if not session.outbound:
            session.target, session.asked, session.rule, session.outbound, session.sniffed = (
                one.target,
                one.asked,
                one.rule,
                one.outbound,
                one.sniffed,
            )
            session.owner, session.source_mac, session.source_hostname = one.owner, one.source_mac, one.source_hostname
        usual = session.udp_timeout
        if one.sniffed is not None and one.sniffed.protocol:
            fitting = UDP_PROTOCOL_TIMEOUTS.get(one.sniffed.protocol, usual)
        else:
            fitting = UDP_PORT_TIMEOUTS.get(one.target.port, usual)
        wanted = one.dial.udp_timeout or min(usual, fitting)
        self._patience = max(self._patience, wanted)

    def _note(self, why: GproxyError) -> None:
        if self._end == "ok":
            self._end, self._detail = why.word, str(why)

    def _lose(self, upstream: PacketConn | None) -> None:
        """An upstream ended by itself: its destinations are decided anew."""
        if upstream is None:
            return
        self._close(upstream)
        self._last = None, _NOWHERE
        for key in [key for key, conn in self._upstreams.items() if conn is upstream]:
            del self._upstreams[key]
        for to in [to for to, way in self._ways.items() if way.upstream is upstream]:
            del self._ways[to]

    def _backward(self, upstream: PacketConn) -> None:
        answer: Take = self._answer
        toll = self._parts[upstream].tolls()[1] if upstream in self._parts else None
        if toll is not None:
            answer = partial(self._answer_within, toll)
        if self._prompt and isinstance(upstream, Prompt):
            upstream.offer(answer)
        try:
            while True:
                answer(*upstream.recv_from())
        except StreamClosed:
            self._lose(upstream)

    def _answer_within(self, toll: SharedToll, data: Buffer, source: Address) -> bool:
        """See Take: what is beyond a rate is lost."""
        return not toll.afford(len(data)) or self._answer(data, source)

    def _answer(self, data: Buffer, source: Address) -> bool:
        """See Take."""
        self.down += len(data)
        self._datagrams += 1
        if self._account is not None:
            self._account.down_packets += 1
        try:
            self._conn.send_to(data, self._asked.get(source, source) if self._asked else source)
        except DialError as why:  # this answer is lost; the next one may arrive
            self._note(why)
        except StreamClosed:  # the greenlet that reads from the client sees it too
            pass
        return True

    def moved(self) -> int:
        """See Idler: datagrams count, not bytes, since an empty one is a sign of life too."""
        return self._datagrams

    def traffic(self) -> tuple[int, int]:
        """See Idler."""
        return self.up, self.down

    def patience(self) -> float:
        """See Idler."""
        return self._patience or self._session.udp_timeout

    def expire(self) -> None:
        """See Idler."""
        self._conn.close()
