"""Where clients' questions about names are answered, whatever way they come: what is the same for all of them."""

from __future__ import annotations

from gproxy.base.clock import now
from gproxy.base.errors import ProtocolError
from gproxy.base.iface import Resolver
from gproxy.base.session import Session
from gproxy.wire.dns import types
from gproxy.wire.dns.asked import Asked, minimal_any, read_asked, size_of, without_subnet
from gproxy.wire.dns.message import error_reply, truncate
from gproxy.wire.dns.quick import Quick


class Desk:
    """Asks the resolver, but for what has the same answer always: ANY gets a short one (RFC 8482)."""

    __slots__ = ("_inbound", "_names", "_quick", "_subnets")

    def __init__(self, names: Resolver, inbound: str, *, subnets: bool) -> None:
        """`inbound`: whose clients these are. `subnets`: whether what they say of their network goes on (RFC 7871)."""
        self._names = names
        self._inbound = inbound
        self._subnets = subnets
        self._quick = Quick()

    def at_once(self, query: bytes, session: Session) -> bytes | None:
        """The whole answer, nothing where there is none, or None if that takes longer. It may be called in the hub."""
        return self._at_once(query, read_asked(query), session)

    def work(self, query: bytes, session: Session) -> bytes:
        """The same, for as long as it takes."""
        return self._names.exchange(self._cleared(query, read_asked(query)), session)

    def known(self, query: bytes) -> bytes | None:
        """The answer to a datagram, if it was given just now and everybody gets the same one."""
        return self._quick.get(query, now())

    def at_once_by_datagram(self, query: bytes, session: Session) -> bytes | None:
        """As `at_once`, no longer than the client takes."""
        asked = read_asked(query)
        answer = self._at_once(query, asked, session)
        if not answer:
            return answer
        cut = _cut(query, answer, asked)
        if asked is not None and asked.lower and not asked.options and self._names.alike(self._inbound):
            self._quick.put(query, cut, now())
        return cut

    def work_by_datagram(self, query: bytes, session: Session) -> bytes:
        """As `work`, no longer than the client takes."""
        asked = read_asked(query)
        return _cut(query, self._names.exchange(self._cleared(query, asked), session), asked)

    def _at_once(self, query: bytes, asked: Asked | None, session: Session) -> bytes | None:
        if asked is not None and asked.type == types.ANY:
            return minimal_any(query, asked)
        return self._names.at_once(self._cleared(query, asked), session)

    def _cleared(self, query: bytes, asked: Asked | None) -> bytes:
        if self._subnets or asked is None or not asked.options:
            return query
        return without_subnet(query, asked)


def _cut(query: bytes, answer: bytes, asked: Asked | None) -> bytes:
    size = size_of(asked)
    if len(answer) <= size:
        return answer
    try:
        return truncate(answer, size)
    except ProtocolError:
        return error_reply(query, types.SERVFAIL)
