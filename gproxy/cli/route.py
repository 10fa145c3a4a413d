"""`gproxy route`: what the rules say, without a client."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from gproxy.base.errors import GproxyError
from gproxy.cli.sources import Sources, pass_sources, source_options

if TYPE_CHECKING:
    from gproxy.app.outbounds import Ways
    from gproxy.base.session import Session
    from gproxy.config.root import Root
    from gproxy.route.action import Action
    from gproxy.route.explain import Reason, Tried
    from gproxy.schema.groups import Item


@click.group()
def route() -> None:
    """Ask what the rules of a configuration say."""


@route.command()
@click.argument("target", metavar="HOST:PORT")
@click.option("--inbound", metavar="TAG", default="", help="The inbound that the client comes in by.")
@click.option("--source", metavar="ADDRESS", default="", help="The client's address, with or without a port.")
@click.option("--user", metavar="NAME", default="", help="Who the client has proved to be.")
@click.option("--network", type=click.Choice(["tcp", "udp"]), default="tcp", show_default=True)
@click.option("--process", metavar="PATH", default="", help="The executable of the client's process, if it runs here.")
@click.option("--protocol", metavar="NAME", default="", help="What sniffing would tell: the protocol.")
@click.option("--domain", metavar="NAME", default="", help="What sniffing would tell: the domain.")
@click.option("--json", "as_json", is_flag=True, help="Print everything, as JSON.")
@source_options
@pass_sources
def explain(
    sources: Sources,
    target: str,
    inbound: str,
    source: str,
    user: str,
    network: str,
    process: str,
    protocol: str,
    domain: str,
    as_json: bool,
) -> None:
    """Tell where a connection to HOST:PORT would go, and why: every rule that is tried, what is looked up, and the way.

    Nothing is connected to; names are looked up where a rule or the way asks for their addresses.
    """
    from gproxy.app.outbounds import build_ways
    from gproxy.app.plugins import Plugins
    from gproxy.app.rules import build_context

    root = sources.root()
    session = _session(target, inbound, source, user, network, process)
    _check(root, inbound)
    context = build_context(root)
    ways = build_ways(root, Plugins(), context)
    try:
        story = _Story(root, ways, session, protocol, domain)
        steps = list(story.tell(context))
    finally:
        ways.names.close()
    click.echo(json.dumps(story.tree(steps), indent=2) if as_json else "\n".join(story.lines(steps)))


def _session(target: str, inbound: str, source: str, user: str, network: str, process: str) -> Session:
    from gproxy.base.address import UNSPECIFIED, Address
    from gproxy.base.session import Owner, Session

    try:
        where = Address.parse(target)
        client = Address.parse(source, 0) if source else UNSPECIFIED
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    owner = Owner(path=process) if process else None
    return Session(0, "udp" if network == "udp" else "tcp", inbound, client, where, user=user or None, owner=owner)


def _check(root: Root, inbound: str) -> None:
    known = [options.tag or str(index) for index, options in enumerate(root.inbounds)]
    if inbound and inbound not in known:
        raise click.UsageError(f"no inbound has the tag `{inbound}`; there is {', '.join(known) or 'none'}")


class _Story:
    """One connection that is not made."""

    def __init__(self, root: Root, ways: Ways, session: Session, protocol: str, domain: str) -> None:
        self._root = root
        self._ways = ways
        self._session = session
        self._said = (protocol, domain)
        self._notes: list[str] = []
        self._asked = str(session.target)

    def tell(self, context: Any) -> Iterator[Tried]:
        from gproxy.route.explain import explain

        final = self._root.route.final or next(iter(self._ways.by_tag))
        yield from explain(self._root.route.rules, final, context, self._session, self._perform)

    def _perform(self, action: Action, session: Session) -> None:
        from gproxy.base.session import Sniffed
        from gproxy.engine.sniffing import settle
        from gproxy.route.action import Resolve, SetOptions, Sniff

        if isinstance(action, SetOptions):
            action.overrides.apply(session)
        elif isinstance(action, Resolve):
            self._resolve(action)
        elif isinstance(action, Sniff):
            protocol, domain = self._said
            if protocol or domain:
                settle(action, session, Sniffed(protocol, domain))
            else:
                self._notes.append("nothing is sniffed here: --protocol and --domain say what it would find")

    def _resolve(self, action: Any) -> None:
        host = self._session.target.host
        if not isinstance(host, str):
            return
        try:
            self._session.addresses = self._ways.names.resolve(host, self._session, action.how)
            self._notes.append(f"{host} has {', '.join(map(str, self._session.addresses))}")
        except GproxyError as error:
            self._notes.append(f"{host} has no address: {error}")

    # -- the end -------------------------------------------------------------------------------------------------------

    def _verdict(self, last: Tried) -> str:
        from gproxy.route.action import HijackDns, Reject, RouteTo

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
        """The outbounds that it goes through, the last one first to be dialled."""
        from gproxy.route.action import RouteTo

        tag = last.action.outbound if isinstance(last.action, RouteTo) else ""
        while tag:
            options = self._outbound(tag)
            yield _link(tag, options)
            tag = _behind(options)

    def _outbound(self, tag: str) -> Item:
        from gproxy.protocol.direct.options import DirectOutboundOptions

        by_tag: dict[str, Item] = {each.tag or str(index): each for index, each in enumerate(self._root.outbounds)}
        return by_tag.get(tag, DirectOutboundOptions(type="direct"))

    def _names(self, last: Tried) -> str:
        """Who would find the addresses of a target that is a name, where this machine has to find them."""
        from gproxy.protocol.direct.options import DirectOutboundOptions
        from gproxy.route.action import RouteTo
        from gproxy.schema.groups import Proxy

        host = self._session.target.host
        if not isinstance(host, str) or self._session.addresses or not isinstance(last.action, RouteTo):
            return ""
        options = self._outbound(last.action.outbound)
        if isinstance(options, Proxy) or _behind(options):
            return f"{host} goes on as a name"
        if not isinstance(options, DirectOutboundOptions):
            return ""
        try:
            found = self._ways.names.lookup_for(options)(host, self._session)
        except GproxyError as error:
            return f"{host} has no address: {error}"
        return f"{host} has {', '.join(map(str, found))}"

    def lines(self, steps: list[Tried]) -> Iterator[str]:
        """For people."""
        for step in steps:
            yield f"{'yes' if step.matched else 'no ':<3} {step.name}" + (f": {step.reason}" if step.reason else "")
        verdict = self._verdict(steps[-1])
        yield from (f"    {note}" for note in self._notes)
        if self._session.asked is not None:
            yield f"    the target is {self._session.target} now, asked was {self._session.asked}"
        chain = list(self._chain(steps[-1]))
        if names := self._names(steps[-1]):
            yield f"    {names}"
        yield f"=>  {' → '.join(chain) if chain else verdict}"

    def tree(self, steps: list[Tried]) -> Mapping[str, Any]:
        """For programs."""
        verdict = self._verdict(steps[-1])
        return {
            "asked": self._asked,
            "target": str(self._session.target),
            "rules": [{"rule": step.name, "matched": step.matched, "because": _tree_of(step.reason)} for step in steps],
            "notes": self._notes,
            "addresses": [str(ip) for ip in self._session.addresses],
            "names": self._names(steps[-1]) or None,
            "verdict": verdict,
            "outbounds": list(self._chain(steps[-1])),
        }


def _link(tag: str, options: Item) -> str:
    """One outbound of a chain."""
    from gproxy.schema.groups import Proxy

    if isinstance(options, Proxy):
        return f"{tag} ({options.type}, server {options.server}:{options.server_port})"
    return f"{tag} ({options.type})"


def _behind(options: Item) -> str:
    """The outbound that an outbound is dialled through; empty if it dials by itself."""
    from gproxy.schema.groups import Dial

    return options.detour if isinstance(options, Dial) else ""


def _tree_of(reason: Reason | None) -> Mapping[str, Any] | None:
    if reason is None:
        return None
    tree: dict[str, Any] = {"what": reason.what, "holds": reason.holds}
    if reason.because:
        tree["because"] = [_tree_of(each) for each in reason.because]
    return tree
