"""Where a connection would go, and why: told without making it, by a configuration or by a process that serves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gproxy.app.messages import EXPLAIN_LIMIT
from gproxy.app.names import Names
from gproxy.base.address import UNSPECIFIED, Address
from gproxy.base.errors import GproxyError
from gproxy.base.session import Owner, Session, Sniffed
from gproxy.config.root import Root
from gproxy.engine.decide import Decider
from gproxy.engine.sniffing import settle
from gproxy.limit.breaker import Breaker
from gproxy.protocol.direct.options import DirectOutboundOptions
from gproxy.route.action import Action, HijackDns, Reject, Resolve, RouteTo, SetOptions, Sniff
from gproxy.route.context import Context
from gproxy.route.explain import Tried, explain
from gproxy.rt.deadline import deadline
from gproxy.rt.sync import sleep
from gproxy.schema.groups import Dial, Item, Proxy

# A process that serves tells no more than this, in bytes: it holds the answer several times.
_MOST: Final = 4 << 20


class NotExplained(GproxyError):
    """Where a connection would go can't be told."""


class _Overdue(Exception):
    """It takes too long."""


class Explainer:
    """Asks what decides about connections. It may wait, for names and for facts about clients."""

    def __init__(
        self, root: Root, names: Names, context: Context, decider: Decider, final: str, breakers: Mapping[str, Breaker]
    ) -> None:
        """`final`: the outbound of what no rule decides. `breakers`: of the outbounds that have one."""
        self.root = root
        self.names = names
        self.context = context
        self.decider = decider
        self.final = final
        self.breakers = breakers

    def explain(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """What `gproxy route explain --json` prints. `asked` has keys of `messages.CONNECTION`.

        Raises ValueError for what is no connection, and GproxyError.
        """
        session = session_of(asked)
        known = [options.tag or str(index) for index, options in enumerate(self.root.inbounds)]
        if session.inbound and session.inbound not in known:
            raise ValueError(f"no inbound has the tag `{session.inbound}`; there is {', '.join(known) or 'none'}")
        sniffed = Sniffed(asked.get("protocol", ""), asked.get("domain", ""))
        try:
            with deadline(EXPLAIN_LIMIT, _Overdue()):
                return _Story(self, session, sniffed).tree()
        except _Overdue:
            raise NotExplained(f"no answer within {EXPLAIN_LIMIT:g} s") from None

    def answer(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """The same in a process that serves: it never raises, and what it tells is bounded."""
        try:
            tree = self.explain(asked)
        except (ValueError, GproxyError) as error:
            return {"error": str(error)}
        if len(json.dumps(tree)) > _MOST:
            return {"error": f"the answer is longer than {_MOST >> 20} MiB"}
        return {"explained": tree}


def session_of(asked: Mapping[str, str]) -> Session:
    """The connection that is asked about. Raises ValueError."""
    network, source, process = asked.get("network", "tcp"), asked.get("source", ""), asked.get("process", "")
    if network not in {"tcp", "udp"}:
        raise ValueError("the network is tcp or udp")
    target = Address.parse(asked.get("target", ""))
    return Session(
        0, "udp" if network == "udp" else "tcp", asked.get("inbound", ""),
        Address.parse(source, 0) if source else UNSPECIFIED, target,
        user=asked.get("user") or None, owner=Owner(path=process) if process else None,
    )  # fmt: skip


@dataclass(slots=True)
class _Story:
    """One connection that is not made. `sniffed`: what its first bytes would tell."""

    _by: Explainer
    _session: Session
    _sniffed: Sniffed
    _notes: list[str] = field(default_factory=list)

    def tree(self) -> dict[str, Any]:
        """All of it, in what JSON knows."""
        asked = str(self._session.target)
        steps = self._walk()
        verdict = self._verdict(steps[-1])
        chain = list(self._chain(steps[-1]))
        self._notes += [
            f"{tag} has failed too often, and is left alone for {breaker.left():.0f} s"
            for tag in chain
            if (breaker := self._by.breakers.get(tag)) is not None and breaker.left()
        ]
        return {
            "asked": asked,
            "target": str(self._session.target),
            "rules": [
                {"rule": step.name, "matched": step.matched, "because": step.reason and step.reason.tree()}
                for step in steps
            ],
            "notes": self._notes,
            "addresses": [str(ip) for ip in self._session.addresses],
            "names": self._names(steps[-1]) or None,
            "verdict": verdict,
            "outbounds": [_link(tag, self._outbound(tag)) for tag in chain],
        }

    def _walk(self) -> list[Tried]:
        """All rules that are tried. Others have their turn between any two of them."""
        by, steps = self._by, []
        by.decider.learn(self._session)
        for step in explain(by.root.route.rules, by.final, by.context, self._session, self._perform):
            steps.append(step)
            sleep(0)
        return steps

    def _perform(self, action: Action, session: Session) -> None:
        if isinstance(action, SetOptions):
            action.overrides.apply(session)
        elif isinstance(action, Resolve):
            self._resolve(action)
        elif isinstance(action, Sniff):
            if self._sniffed.protocol or self._sniffed.domain:
                settle(action, session, self._sniffed)
            else:
                self._notes.append("nothing is sniffed here: --protocol and --domain say what it would find")

    def _resolve(self, action: Resolve) -> None:
        host = self._session.target.host
        if not isinstance(host, str):
            return
        try:
            self._session.addresses = self._by.names.resolve(host, self._session, action.how)
            self._notes.append(f"{host} has {', '.join(map(str, self._session.addresses))}")
        except GproxyError as error:
            self._notes.append(f"{host} has no address: {error}")

    def _verdict(self, last: Tried) -> str:
        action = last.action
        if isinstance(action, RouteTo):
            if action.overrides is not None:
                action.overrides.apply(self._session)
            return action.outbound
        if isinstance(action, Reject):
            return "refused in silence" if action.method == "drop" else "refused"
        assert isinstance(action, HijackDns), "the last action of a walk is final"
        return "answered by the `dns` table"

    def _chain(self, last: Tried) -> Iterator[str]:
        """The tags of the outbounds that it goes through, the last one first to be dialled."""
        tag = last.action.outbound if isinstance(last.action, RouteTo) else ""
        while tag:
            yield tag
            tag = _behind(self._outbound(tag))

    def _outbound(self, tag: str) -> Item:
        by_tag: dict[str, Item] = {each.tag or str(index): each for index, each in enumerate(self._by.root.outbounds)}
        return by_tag.get(tag, DirectOutboundOptions(type="direct"))

    def _names(self, last: Tried) -> str:
        """Who would find the addresses of a target that is a name, where this machine has to find them."""
        host = self._session.target.host
        if not isinstance(host, str) or self._session.addresses or not isinstance(last.action, RouteTo):
            return ""
        options = self._outbound(last.action.outbound)
        if isinstance(options, Proxy) or _behind(options):
            return f"{host} goes on as a name"
        if not isinstance(options, DirectOutboundOptions):
            return ""
        try:
            found = self._by.names.lookup_for(options)(host, self._session)
        except GproxyError as error:
            return f"{host} has no address: {error}"
        return f"{host} has {', '.join(map(str, found))}"


def _link(tag: str, options: Item) -> str:
    """One outbound of a chain."""
    if isinstance(options, Proxy):
        return f"{tag} ({options.type}, server {options.server}:{options.server_port})"
    return f"{tag} ({options.type})"


def _behind(options: Item) -> str:
    """The outbound that an outbound is dialled through; empty if it dials by itself."""
    return options.detour if isinstance(options, Dial) else ""
