"""`gproxy ban list`, `add` and `remove`: who has to stay outside of a gproxy that runs."""

from __future__ import annotations

import json
from typing import Any

import click

from gproxy.base.errors import GproxyError
from gproxy.cli.admin import control_option, duration, place_of, reach
from gproxy.cli.sources import Sources
from gproxy.limit.bans import WORDS, ordinal
from gproxy.schema.fields import Duration
from gproxy.schema.problem import BadValue


class NotDone(GproxyError):
    """The running gproxy says no."""


class _DurationType(click.ParamType[float]):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return float(Duration.parse(value))
        except BadValue as why:
            self.fail(str(why), param, ctx)


@click.group()
def ban() -> None:
    """Who is shut out of a running gproxy that has a table `bans`."""


@ban.command("list")
@control_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def list_bans(sources: Sources, control: str | None, as_json: bool) -> int:
    """Show who is banned, for how long still, and why."""
    path = place_of(sources, control)
    bans: list[dict[str, Any]] = []
    first: int | None = 0
    total = 0
    while first is not None:
        answer = _ask(path, do="list", first=first)
        bans += answer["bans"]
        first, total = answer["next"], answer["total"]
    bans.sort(key=lambda each: -each["left"])
    if as_json:
        click.echo(json.dumps({"bans": bans, "total": total}, indent=2))
        return 0
    for each in bans:
        click.echo(
            f"{each['network']} for {duration(each['left'])} of {duration(each['length'])}, "
            f"for the {ordinal(each['times'])} time: {WORDS[each['reason']]}"
        )
    click.echo(f"{len(bans)} banned now, {total} bans so far", err=True)
    return 0


@ban.command()
@click.argument("network", metavar="ADDRESS")
@click.option("--for", "seconds", type=_DurationType(), default="1d", show_default=True, help="How long.")
@control_option
def add(sources: Sources, control: str | None, network: str, seconds: float) -> int:
    """Shut out an address or a prefix. Sessions that are open go on."""
    answer = _ask(place_of(sources, control), do="add", network=network, seconds=seconds)
    click.echo(f"{answer['ban']['network']} is banned for {duration(answer['ban']['length'])}")
    return 0


@ban.command()
@click.argument("network", metavar="ADDRESS")
@control_option
def remove(sources: Sources, control: str | None, network: str) -> int:
    """Let an address or a prefix in again: every ban that has any of it ends. 1 if there is none."""
    removed = _ask(place_of(sources, control), do="remove", network=network)["removed"]
    for each in removed:
        click.echo(f"{each} is banned no more")
    if not removed:
        click.echo(f"{network} is not banned", err=True)
    return 0 if removed else 1


def _ask(path: str, **values: Any) -> dict[str, Any]:
    answer = reach(path, "ban", **values)
    if not answer["ok"]:
        raise NotDone(answer["error"])
    return answer
