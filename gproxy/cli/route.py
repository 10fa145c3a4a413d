"""`gproxy route`: what the rules say, without a client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from gproxy.base.errors import GproxyError
from gproxy.cli.admin import control_option, place_of, reach
from gproxy.cli.sources import Sources

# What an answer may need beyond the time that it takes at most, in seconds.
_LATE = 10.0


class NotDone(GproxyError):
    """The running gproxy says no."""


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
@click.option("--running", is_flag=True, help="Ask the gproxy that runs, and not the configuration file.")
@click.option("--worker", type=click.IntRange(0), help="Ask this worker of the gproxy that runs.  [default: 0]")
@click.option("--json", "as_json", is_flag=True, help="Print everything, as JSON.")
@control_option
def explain(
    sources: Sources, control: str | None, running: bool, worker: int | None, as_json: bool, **asked: str
) -> None:
    """Tell where a connection to HOST:PORT would go, and why: every rule that is tried, what is looked up, and the way.

    Nothing is connected to; names are looked up where a rule or the way asks for their addresses.

    With --running, or --control, a worker of the gproxy that runs is asked: its rule sets as they are now, the answers
    that it remembers, and outbounds that it leaves alone for their failures.
    """
    from gproxy.app.explaining import session_of

    try:
        session_of(asked)
        if running or control or worker is not None:
            tree = _asked_of_worker(place_of(sources, control), worker or 0, asked)
        else:
            tree = _asked_of_configuration(sources, asked)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    click.echo(json.dumps(tree, indent=2) if as_json else "\n".join(lines(tree)))


def _asked_of_configuration(sources: Sources, asked: dict[str, str]) -> dict[str, Any]:
    """Raises ValueError for what makes no sense, and GproxyError."""
    from gproxy.app.explaining import Explainer
    from gproxy.app.outbounds import build_decider, build_ways
    from gproxy.app.plugins import Plugins
    from gproxy.app.rules import build_context

    root = sources.root()
    context = build_context(root)
    ways = build_ways(root, Plugins(), context)
    try:
        outbounds = ways.all()
        decider = build_decider(root, outbounds, ways.names, context)
        final = root.route.final or outbounds.default
        return Explainer(root, ways.names, context, decider, final, {}).explain(asked)
    finally:
        ways.names.close()


def _asked_of_worker(path: str, worker: int, asked: dict[str, str]) -> dict[str, Any]:
    """Raises NotDone and NotReached."""
    from gproxy.app.messages import EXPLAIN_LIMIT

    answer = reach(path, "explain", EXPLAIN_LIMIT + _LATE, worker=worker, connection=asked)
    if not answer["ok"]:
        raise NotDone(answer["error"])
    if not answer["processes"]:
        raise NotDone("there is no such worker")
    facts = answer["processes"][0]
    if "error" in facts:
        raise NotDone(facts["error"])
    tree: dict[str, Any] = facts["explained"]
    return tree


def lines(tree: dict[str, Any]) -> Iterator[str]:
    """What was explained, for people."""
    from gproxy.route.explain import Reason

    for step in tree["rules"]:
        because = f": {Reason.of(step['because'])}" if step["because"] else ""
        yield f"{'yes' if step['matched'] else 'no ':<3} {step['rule']}{because}"
    yield from (f"    {note}" for note in tree["notes"])
    if tree["target"] != tree["asked"]:
        yield f"    the target is {tree['target']} now, asked was {tree['asked']}"
    if tree["names"]:
        yield f"    {tree['names']}"
    yield f"=>  {' → '.join(tree['outbounds']) or tree['verdict']}"
