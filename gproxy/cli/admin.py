"""`gproxy status`, `reload`, `upgrade` and `stop`: questions to a gproxy that runs, over its control socket."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

from gproxy.base.clock import now
from gproxy.base.errors import GproxyError
from gproxy.cli.sources import Sources, pass_sources, source_options
from gproxy.proc.admin import ask, default_path

# Longer than a generation may take to come up, in seconds.
_VERDICT_LIMIT = 75.0

_ANSWER_LIMIT = 5.0
_LOOK_AGAIN = 0.1


class NotReached(GproxyError):
    """No gproxy answers at the control socket."""


def control_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a command that speaks to a running gproxy."""
    option = click.option("--control", type=click.Path(), metavar="PATH", help="The control socket.")
    return source_options(option(pass_sources(command)))


@click.command()
@control_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def status(sources: Sources, control: str | None, as_json: bool) -> int:
    """Show what a running gproxy does. Fails if it serves nobody, not yet or no more."""
    facts = reach(place_of(sources, control), "status")
    click.echo(json.dumps(facts, indent=2) if as_json else "\n".join(describe(facts)))
    return 0 if any(each["state"] == "serving" for each in facts["generations"]) else 1


@click.command()
@control_option
def reload(sources: Sources, control: str | None) -> int:
    """Let a running gproxy read its configuration again, and wait for the verdict."""
    answer = reach(place_of(sources, control), "reload", _VERDICT_LIMIT)
    if answer["ok"]:
        click.echo(f"generation {answer['generation']} serves")
        return 0
    click.echo(f"refused, nothing has changed:\n{answer['error']}", err=True)
    return int(answer.get("code", 1))


@click.command()
@control_option
def upgrade(sources: Sources, control: str | None) -> int:
    """Let a running gproxy go on as the version that is installed now, and wait until that serves."""
    path = place_of(sources, control)
    before = _newest(reach(path, "status"))
    answer = reach(path, "upgrade", _VERDICT_LIMIT)
    if not answer["ok"]:
        click.echo(f"refused, nothing has changed: {answer['error']}", err=True)
        return 1
    facts = _await_newer(path, before)
    if _newest(facts) <= before:
        click.echo("the new generation was refused, as the log tells; the old one serves", err=True)
        return 1
    click.echo(f"gproxy {facts['version']}: generation {_newest(facts)} serves")
    return 0


@click.command()
@control_option
def stop(sources: Sources, control: str | None) -> int:
    """Tell a running gproxy to end, as SIGTERM does. It may still run when this returns."""
    reach(place_of(sources, control), "stop")
    return 0


def place_of(sources: Sources, control: str | None) -> str:
    """Where the control socket is. A configuration that can't be read does not say, and is not our concern here."""
    if control:
        return control
    from gproxy.config.load import ConfigProblems

    try:
        runtime = sources.load().tree.get("runtime")
    except ConfigProblems:
        return default_path()
    named = runtime.get("control") if isinstance(runtime, dict) else None
    return named if isinstance(named, str) and named else default_path()


def reach(path: str, question: str, limit: float = _ANSWER_LIMIT, **values: Any) -> dict[str, Any]:
    """The answer of whoever listens there, within so many seconds. Raises NotReached."""
    try:
        return ask(path, limit, ask=question, **values)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise NotReached(f"no gproxy with workers answers at {path}: {why}") from error


def _newest(facts: dict[str, Any]) -> int:
    """The number of the generation that serves; 0 if none does."""
    return max((each["number"] for each in facts["generations"] if each["state"] == "serving"), default=0)


def _await_newer(path: str, before: int) -> dict[str, Any]:
    """The status when a newer generation serves, or when none is on its way any more."""
    from gproxy.rt.sync import sleep

    until = now() + _VERDICT_LIMIT
    while True:
        facts = reach(path, "status")
        settled = all(each["state"] in {"serving", "draining"} for each in facts["generations"])
        if _newest(facts) > before or settled or now() > until:
            return facts
        sleep(_LOOK_AGAIN)


def describe(facts: dict[str, Any]) -> list[str]:
    """The lines of `gproxy status`."""
    counters = facts["counters"]
    statuses = sorted(counters["statuses"].items(), key=lambda item: -item[1])
    traffic = f"{size(counters['up'])} from them, {size(counters['down'])} to them"
    return [
        f"gproxy {facts['version']}, process {facts['pid']}, up {duration(facts['uptime'])}",
        f"listening on {', '.join(facts['listeners']) or 'nothing'}",
        *(line for each in facts["generations"] for line in (_generation(each), *_breakers(each))),
        f"clients: {counters['active']} now, {counters['opened']} in all; {traffic}",
        *([f"bans: {facts['bans']['banned']} now, {facts['bans']['total']} in all"] if "bans" in facts else []),
        *([f"sessions ended: {', '.join(f'{count} {word}' for word, count in statuses)}"] if statuses else []),
    ]


def _generation(facts: dict[str, Any]) -> str:
    workers = " ".join(str(pid) for pid in facts["workers"].values()) or "none yet"
    active = "" if facts["active"] is None else f", {facts['active']} clients"
    return f"generation {facts['number']} {facts['state']} for {duration(facts['age'])}{active}, workers {workers}"


def _breakers(facts: dict[str, Any]) -> list[str]:
    """What the breakers of its outbounds do; older code does not tell."""
    lines = []
    for tag, counted in facts.get("breakers", {}).items():
        states = [f"{state} in {counted[state]}" for state in ("closed", "open", "half-open") if counted[state]]
        workers = ", ".join(states) or "in none"
        lines.append(f"  breaker of {tag}: {workers} of its workers, opened {_times(counted['opened'])}")
    return lines


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def duration(seconds: float) -> str:
    """The two largest units of a time."""
    whole = int(seconds)
    for unit, name, lower, lower_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= unit:
            return f"{whole // unit} {name} {whole % unit // lower} {lower_name}"
    return f"{whole} s"


def size(count: int) -> str:
    """A number of bytes in the unit that suits it."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
