"""Facts about a client and this machine that cost something to learn: collected before a walk, if any rule asks.

A rule says what it needs when it is compiled (`Needs`); the walk itself only reads what was collected here.
"""

from __future__ import annotations

from gproxy.base.session import Session
from gproxy.route.leases import Leases
from gproxy.route.neighbour import Neighbours
from gproxy.route.owner import Owners
from gproxy.route.surroundings import Watch


class Needs:
    """What the rules that were compiled so far ask for. Nothing is ever taken back."""

    __slots__ = ("dscp", "hostname", "mac", "owner", "some", "surroundings", "wifi")

    def __init__(self) -> None:
        self.owner = False  # the client's process
        self.mac = False  # the client's MAC address
        self.hostname = False  # the client's name, in DHCP leases
        self.dscp = False  # of the client's packets: collected where they come in
        self.surroundings = False  # interfaces and their addresses
        self.wifi = False
        self.some = False  # anything that `Facts.collect` has to do

    def ask(self, *names: str) -> None:
        """Ask for these."""
        for name in names:
            setattr(self, name, True)
        self.some = self.owner or self.mac or self.hostname or self.surroundings or self.wifi


class Facts:
    """Collects what the rules need."""

    def __init__(self, leases: Leases | None = None) -> None:
        self.needs = Needs()
        self.watch = Watch()
        self._leases = leases or Leases()
        self._owners = Owners()
        self._neighbours = Neighbours()

    def collect(self, session: Session) -> None:
        """Write into the session what rules ask of it, and bring `watch` up to date. It may wait; it never raises.

        Call it if `needs.some`. What is known already is not looked up again.
        """
        needs = self.needs
        if needs.owner and session.owner is None:
            session.owner = self._owners.find(session)
        if needs.mac or needs.hostname:
            self._find_neighbour(session)
        if needs.surroundings or needs.wifi:
            self.watch.refresh(wifi=needs.wifi)

    def close(self) -> None:
        """Give back what the kernel is asked with. Idempotent; `collect` opens it again."""
        self.watch.close()
        self._owners.close()
        self._neighbours.close()

    def _find_neighbour(self, session: Session) -> None:
        """A client that is behind a router may still have a lease, and a lease tells of its MAC address."""
        ip = session.source.host
        if isinstance(ip, str):
            return
        self._leases.refresh()
        if not session.source_mac:
            session.source_mac = self._neighbours.mac(ip) or self._leases.mac(ip)
        if self.needs.hostname and not session.source_hostname:
            session.source_hostname = self._leases.hostname(ip, session.source_mac)
