"""Where clients' questions about names are answered, whatever way they come: what is the same for all of them."""

from __future__ import annotations

from collections.abc import Callable

from gproxy.base.clock import now
from gproxy.base.errors import ProtocolError
from gproxy.base.iface import Later, Resolver, Soon
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

    def begin(self, query: bytes, session: Session) -> bytes | Later:
        """The whole answer, nothing where there is none, or what finds it. It may be called in the hub."""
        return self._begin(query, read_asked(query), session)

    def known(self, query: bytes) -> bytes | None:
        """The answer to a datagram, if it was given just now and everybody gets the same one."""
        return self._quick.get(query, now())

    def begin_datagram(self, query: bytes, session: Session) -> bytes | Later:
        """As `begin`, with answers that are no longer than the client takes."""
        asked = read_asked(query)
        answer = self._begin(query, asked, session)
        if not isinstance(answer, bytes):
            return _Cut(query, answer, asked)
        if not answer:
            return b""
        cut = _cut(query, answer, asked)
        if asked is not None and asked.lower and not asked.options and self._names.alike(self._inbound):
            self._quick.put(query, cut, now())
        return cut

    def _begin(self, query: bytes, asked: Asked | None, session: Session) -> bytes | Later:
        if asked is not None and asked.type == types.ANY:
            return minimal_any(query, asked)
        if not self._subnets and asked is not None and asked.options:
            query = without_subnet(query, asked)
        return self._names.begin(query, session)


class _Cut(Soon):
    """See Later: an answer that is not longer than the client takes."""

    __slots__ = ("_asked", "_find", "_query")

    def __init__(self, query: bytes, find: Later, asked: Asked | None) -> None:
        self._query = query
        self._find = find
        self._asked = asked

    def soon(self, ready: Callable[[], object], /) -> bool:
        """See Soon."""
        find = self._find
        return isinstance(find, Soon) and find.soon(ready)

    def __call__(self) -> bytes:
        """See Later."""
        answer = self._find()
        return _cut(self._query, answer, self._asked) if answer else b""


def _cut(query: bytes, answer: bytes, asked: Asked | None) -> bytes:
    size = size_of(asked)
    if len(answer) <= size:
        return answer
    try:
        return truncate(answer, size)
    except ProtocolError:
        return error_reply(query, types.SERVFAIL)
