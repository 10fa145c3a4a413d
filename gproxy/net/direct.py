"""The dialer beneath all others: the system's own sockets, shaped by an outbound's dial fields."""

from __future__ import annotations

from dataclasses import dataclass

from gproxy.base.address import IP, Address
from gproxy.base.errors import DialError
from gproxy.base.iface import Lookup, PacketConn, Stream
from gproxy.base.session import Session
from gproxy.net.happy import race
from gproxy.net.inner import Inner
from gproxy.net.resolve import system_lookup
from gproxy.net.tcp import SocketOptions, connect
from gproxy.net.udp import UdpConn, open_udp
from gproxy.rt.deadline import deadline


@dataclass(frozen=True, slots=True)
class SystemDialer:
    """Opens TCP connections and UDP sockets. Times are in seconds."""

    sockets: SocketOptions
    connect_timeout: float
    fallback_delay: float
    lookup: Lookup = system_lookup
    inner: Inner | None = None  # what is refused to clients from elsewhere

    def dial(self, target: Address, session: Session) -> Stream:
        """See Dialer. A domain costs a look-up, unless a rule has resolved the session's target already."""
        with deadline(self.connect_timeout, DialError("no connection in time", reason="timeout")):
            host, guard = target.host, self._guard(target, session)
            if not isinstance(host, str):
                if guard is not None:
                    guard.check(host, target.port)
                return connect(host, target.port, self.sockets)
            addresses = _resolved(target, session) or self.lookup(host, session)
            if guard is not None:
                addresses = guard.outer(addresses, target.port)
            if len(addresses) == 1:
                return connect(addresses[0], target.port, self.sockets)
            delay = session.dial.fallback_delay
            return race(
                addresses,
                lambda ip: connect(ip, target.port, self.sockets),
                self.fallback_delay if delay is None else delay,
            )

    def dial_packet(self, target: Address, session: Session) -> PacketConn:
        """See Dialer. The socket reaches other addresses too, unless a rule has asked for a connected one."""
        try:
            sock = open_udp(self.sockets, target.host)
        except OSError as error:
            raise DialError(f"no UDP socket: {error.strerror or error}", reason="failed") from error

        def lookup(domain: str) -> tuple[IP, ...]:
            if domain == session.target.host and session.addresses:
                return session.addresses
            with deadline(self.connect_timeout, DialError(f"{domain}: no answer in time", reason="timeout")):
                return self.lookup(domain, session)

        guard = self._guard(target, session)
        conn = UdpConn(
            sock,
            lookup,
            unmap=not session.dial.udp_disable_domain_unmapping,
            check=guard.check if guard is not None else None,
        )
        if session.dial.udp_connect:
            try:
                conn.connect(target)
            except BaseException:  # a deadline, too, must not leave the socket behind
                conn.close()
                raise
        return conn

    def _guard(self, target: Address, session: Session) -> Inner | None:
        """What the session's target has to pass; a proxy's server on the way there stands in the configuration."""
        inner = self.inner
        return inner if inner is not None and inner.concerns(session) and target == session.target else None


def _resolved(target: Address, session: Session) -> tuple[IP, ...]:
    """What a resolve action found, if it was for this target and not for a proxy's server on the way."""
    return session.addresses if target.host == session.target.host else ()
