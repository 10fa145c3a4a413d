"""Where a session goes: the rules' walk is pure, and here its actions are carried out."""

from __future__ import annotations

from dataclasses import replace

from gproxy.base.errors import Rejected
from gproxy.base.iface import Outbound
from gproxy.base.session import Session
from gproxy.engine.outbounds import Outbounds
from gproxy.limit.bucket import TokenBucket
from gproxy.net.resolve import resolve
from gproxy.route.action import Action, Reject, Resolve, RouteTo, SetOptions
from gproxy.route.rule import Router
from gproxy.rt.deadline import deadline
from gproxy.base.defaults import REJECT_FLOOD, REJECT_FLOOD_SECONDS, RESOLVE_TIMEOUT
from gproxy.base.errors import DialError


class Decider:
    """Carries out what the rules say, up to the outbound."""

    def __init__(self, router: Router, outbounds: Outbounds) -> None:
        self._router = router
        self._outbounds = outbounds
        self._patience = TokenBucket(REJECT_FLOOD / REJECT_FLOOD_SECONDS, REJECT_FLOOD)

    def decide(self, session: Session) -> Outbound:
        """The outbound for this session, whose facts are completed. Raises Rejected, and DialError."""
        for action in self._router.walk(session):
            if isinstance(action, RouteTo):
                if action.options is not None:
                    self._set(session, action.options)
                session.outbound = action.outbound
                return self._outbounds.get(action.outbound, session.network)
            self._perform(action, session)
        raise AssertionError("a walk ends with a final action")

    def _perform(self, action: Action, session: Session) -> None:
        if isinstance(action, SetOptions):
            self._set(session, action)
        elif isinstance(action, Resolve):
            self._resolve(action, session)
        elif isinstance(action, Reject):
            drop = action.method == "drop" or not (action.no_drop or self._patience.take())
            raise Rejected("a rule rejects it", drop=drop)
