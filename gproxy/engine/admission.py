"""Who is let in at all: the first look at a client, before anything that he says is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from gproxy.base.address import IP, Host, parse_ip
from gproxy.base.errors import AuthError, Denied, GproxyError, ProtocolError, ReplayError
from gproxy.base.iface import Accept, AcceptPackets, PacketConn, QueryEntrance, Stream
from gproxy.base.session import Session
from gproxy.limit.limits import Limits
from gproxy.observe import audit
from gproxy.observe.events import Event
from gproxy.route.cidrs import CidrSet

if TYPE_CHECKING:
    from gproxy.limit.bans import Ban, Offence


class Banned(Protocol):
    """Who has to stay outside for a while."""

    def __contains__(self, ip: IP, /) -> bool: ...


class Watch(Protocol):
    """Whoever looks at the failures of clients."""

    def failed(self, ip: IP, why: GproxyError) -> Ban | None:
        """A client that is known to have this address has failed in its handshake; the ban that this has brought."""


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

    __slots__ = ("_access", "_audited", "_limits", "_watch")

    def __init__(
        self, access: Access | None, limits: Limits | None, watch: Watch | None = None, *, audited: bool = False
    ) -> None:
        """`audited`: there is an audit log, and what `watch` is told stands there, too."""
        self._audited = audited
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
        watcher = self if self._watch is not None or self._audited else None

        def accept(stream: Stream, session: Session) -> None:
            self.admit(session)
            session.watcher = watcher
            then(stream, session)

        return accept

    def failed(self, session: Session, why: Exception) -> None:
        """See Watcher."""
        from gproxy.limit.bans import offence_of

        host = session.source.host
        if not isinstance(why, ProtocolError) or not _is_of_handshake(why, session):
            return
        if self._audited and (offence := offence_of(why)) in _AUDITED:
            audit.met(_AUDITED[offence], session, "refused", str(why))
        if self._watch is not None and not (isinstance(host, str) or host.is_unspecified):
            ban = self._watch.failed(host, why)
            if ban is not None and self._audited:
                audit.bounded(_banned(ban, session))

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


def _banned(ban: Ban, session: Session) -> Event:
    from gproxy.limit.bans import shown

    return Event(
        "ban", source=session.source, session=session.id, inbound=session.inbound, prefix=shown(ban.network),
        seconds=ban.length, times=ban.times, reason=ban.reason,
    )  # fmt: skip


_AUDITED: Final[Mapping[Offence | None, str]] = {"auth": "auth-failure", "replay": "auth-replay"}


def _answering(access: Access, then: Callable[[bytes, Any], Any]) -> Callable[[bytes, Any], Any]:
    def answer(data: bytes, name: Any) -> Any:
        try:
            access.check(parse_ip(name[0]))
        except Denied:
            return b""
        return then(data, name)

    return answer
