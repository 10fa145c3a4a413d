"""Who is let in at all: the first look at a client, before anything that he says is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from gproxy.base.address import IP, Host, parse_ip
from gproxy.base.errors import AuthError, Denied, GproxyError, ProtocolError, ReplayError
from gproxy.base.iface import Accept, AcceptPackets, PacketConn, QueryEntrance, Stream
from gproxy.base.session import Session
from gproxy.limit.limits import Limits
from gproxy.route.cidrs import CidrSet


class Banned(Protocol):
    """Who has to stay outside for a while."""

    def __contains__(self, ip: IP, /) -> bool: ...


class Watch(Protocol):
    """Whoever looks at the failures of clients."""

    def failed(self, ip: IP, why: GproxyError) -> None:
        """A client that is known to have this address has failed in its handshake."""


class Access:
    """Which addresses an inbound takes: if some are allowed no others, and never those that are denied."""

    __slots__ = ("_allow", "_banned", "_deny")

    def __init__(self, allow: CidrSet | None, deny: CidrSet | None, banned: Banned | None = None) -> None:
        self._allow = allow
        self._deny = deny
        self._banned = banned

    def check(self, host: Host) -> None:
        """Raises Denied. What has no address, such as a unix socket's client, is let in."""
        if isinstance(host, str) or host.is_unspecified:
            return
        if self._deny is not None and host in self._deny:
            raise Denied(f"{host} is denied", reason="address")
        if self._allow is not None and host not in self._allow:
            raise Denied(f"{host} is not allowed", reason="address")
        if self._banned is not None and host in self._banned:
            raise Denied(f"{host} is banned", reason="ban")


class Admission:
    """Lets clients of one inbound in. Whoever serves them gives back what their sessions hold (see Session.held)."""

    __slots__ = ("_access", "_limits", "_watch")

    def __init__(self, access: Access | None, limits: Limits | None, watch: Watch | None = None) -> None:
        self._access = access
        self._limits = limits
        self._watch = watch

    def admit(self, session: Session) -> None:
        """Raises Denied and Limited."""
        if self._access is not None:
            self._access.check(session.source.host)
        if self._limits is not None:
            session.held = self._limits.arrive(session)

    def streams(self, then: Accept) -> Accept:
        """The same for those who are let in. Who they are is known here, also behind a balancer: failures count."""
        watch = self._watch
        if watch is None:
            return self._admitted(then)

        def watched(stream: Stream, session: Session) -> None:
            self.admit(session)
            try:
                then(stream, session)
            except ProtocolError as why:
                host = session.source.host
                if _is_of_handshake(why, session) and not (isinstance(host, str) or host.is_unspecified):
                    watch.failed(host, why)
                raise

        return watched

    def _admitted(self, then: Accept) -> Accept:
        def accept(stream: Stream, session: Session) -> None:
            self.admit(session)
            then(stream, session)

        return accept

    def packets(self, then: AcceptPackets) -> AcceptPackets:
        """The same for those who are let in. Failures don't count: anybody can send datagrams in another's name."""

        def accept(conn: PacketConn, session: Session) -> None:
            self.admit(session)
            then(conn, session)

        return accept

    def queries(self, entrance: QueryEntrance) -> QueryEntrance:
        """The same, where there are no sessions: limits are for those, so that addresses alone count."""
        if self._access is None:
            return entrance
        return QueryEntrance(_answering(self._access, entrance.answer))


def _is_of_handshake(why: ProtocolError, session: Session) -> bool:
    """Whether it is not of what came later. Whoever has shown who he is may make mistakes in his request."""
    return session.began > 0 and (isinstance(why, AuthError | ReplayError) or not session.user)


def _answering(access: Access, then: Callable[[bytes, Any], Any]) -> Callable[[bytes, Any], Any]:
    def answer(data: bytes, name: Any) -> Any:
        try:
            access.check(parse_ip(name[0]))
        except Denied:
            return b""
        return then(data, name)

    return answer
