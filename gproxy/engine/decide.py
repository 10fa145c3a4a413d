"""Where a session goes: the rules' walk is pure, and here its actions are carried out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from gproxy.base.address import IP, Address
from gproxy.base.defaults import RESOLVE_TIMEOUT
from gproxy.base.errors import DialError
from gproxy.base.iface import Outbound
from gproxy.base.session import LookupOptions, Session, Sniffed
from gproxy.engine.outbounds import Outbounds
from gproxy.engine.sniffing import SERVER_FIRST_PORTS, Opening, ServerFirst, settle
from gproxy.net.resolve import resolve
from gproxy.route.action import HijackDns, Reject, Resolve, RouteTo, SetOptions, Sniff
from gproxy.route.rule import Router
from gproxy.rt.deadline import deadline

if TYPE_CHECKING:
    from gproxy.dns.fakeip import FakeAddresses

Names = Callable[[str, Session, LookupOptions], tuple[IP, ...]]
"""The addresses of a domain, looked up in this way; see Resolver. Raises DialError and Rejected."""


def system_names(domain: str, session: Session, how: LookupOptions) -> tuple[IP, ...]:
    """As the system's resolver says, which knows of a strategy and a timeout and of nothing else."""
    with deadline(how.timeout or RESOLVE_TIMEOUT, DialError(f"{domain}: no answer in time", reason="dns")):
        return resolve(domain, how.strategy)


HIJACK: Final = "hijack-dns"
"""How the log calls what answers questions here, where an outbound's tag stands."""


class Decides(Protocol):
    """What a dispatcher asks."""

    def decide(self, session: Session, opening: Opening | None = None) -> Outbound:
        """The outbound for this session, whose facts are completed. Without an opening, nothing is sniffed.

        Raises Rejected, DialError and, for what is sniffed, StreamClosed.
        """


class Straight:
    """For sessions whose target the configuration names itself: one outbound for all of them, and no rule is asked."""

    def __init__(self, outbound: Outbound, tag: str) -> None:
        self._outbound = outbound
        self._tag = tag

    def decide(self, session: Session, opening: Opening | None = None) -> Outbound:
        """See Decides."""
        session.outbound = self._tag
        return self._outbound


class Decider:
    """Carries out what the rules say, up to the outbound."""

    def __init__(
        self,
        router: Router,
        outbounds: Outbounds,
        names: Names = system_names,
        hijack: Outbound | None = None,
        name_of: Callable[[IP], str] | None = None,
        fakes: Sequence[FakeAddresses] = (),
    ) -> None:
        """`hijack`: where sessions go whose questions are answered here; rules that ask for that need it.

        `name_of`: the name that has led clients to an address, empty if none is known. `fakes`: addresses that stand
        for names.
        """
        self._fakes = tuple(fakes)
        self._name_of = name_of
        self._hijack = hijack
        self._router = router
        self._outbounds = outbounds
        self._names = names
        self._facts = router.facts
        self._server_first = ServerFirst()

    def decide(self, session: Session, opening: Opening | None = None) -> Outbound:
        """See Decides."""
        self.learn(session)
        for action in self._router.walk(session):
            if isinstance(action, RouteTo):
                if action.overrides is not None:
                    action.overrides.apply(session)
                session.rule = action.rule
                session.outbound = action.outbound
                return self._outbounds.get(action.outbound, session.network)
            if isinstance(action, Reject):
                session.rule = action.rule
                raise action.error()
            if isinstance(action, HijackDns):
                assert self._hijack is not None, "nobody has said how questions are answered"
                session.rule = action.rule
                session.outbound = HIJACK
                return self._hijack
            if isinstance(action, SetOptions):
                action.overrides.apply(session)
            elif isinstance(action, Resolve):
                self._resolve(action, session)
            elif opening is not None:
                self._sniff(action, session, opening)
        raise AssertionError("the last action of a walk is final")

    def learn(self, session: Session) -> None:
        """Complete what rules ask of a session before they are walked. Raises DialError."""
        if self._facts.needs.some:
            self._facts.collect(session)
        if self._name_of is not None and session.sniffed is None and not isinstance(session.target.host, str):
            name = self._name_of(session.target.host)
            if name:
                session.sniffed = Sniffed("", name)
        if self._fakes:
            self._restore(session)

    def _restore(self, session: Session) -> None:
        """The name that was asked for, where its address is none. Raises DialError."""
        host = session.target.host
        if isinstance(host, str):
            return
        for fake in self._fakes:
            name = fake.name_of(host)
            if name is not None:
                if not name:
                    raise DialError(f"{host} stands for no name any more: ask for it again", reason="dns")
                session.asked = session.asked or session.target
                session.target = Address(name, session.target.port)
                return

    def _resolve(self, action: Resolve, session: Session) -> None:
        host = session.target.host
        if isinstance(host, str):
            session.addresses = self._names(host, session, action.how)

    def _sniff(self, action: Sniff, session: Session, opening: Opening) -> None:
        if (session.sniffed is None or not session.sniffed.protocol) and session.target.port not in SERVER_FIRST_PORTS:
            found = opening.sniff(action, session.target, self._server_first)
            if found is not None:
                settle(action, session, found)
