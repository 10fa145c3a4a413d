"""`gproxy debug stacks`, `lag`, `memory` and `profile`: a look into the processes of a gproxy that runs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import click

from gproxy.base.errors import GproxyError
from gproxy.cli.admin import control_option, place_of, reach, size
from gproxy.cli.sources import Sources

# What an answer may need beyond the measurement, in seconds.
_LATE = 15.0

_SHOWN = 25  # lines of a profile and types of objects, for people


class NotDone(GproxyError):
    """The running gproxy says no."""


_QUESTIONS = ("stacks", "lag", "memory", "profile")


@click.command()
@click.argument("what", type=click.Choice(_QUESTIONS))
@click.option(
    "--seconds", type=click.FloatRange(0.1, 60), help="How long to measure.  [default: 1 for lag, 10 for profile]"
)
@click.option("--worker", type=int, help="Only this worker; -1 is control.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@control_option
def debug(
    sources: Sources, control: str | None, what: str, seconds: float | None, worker: int | None, as_json: bool
) -> int:
    """Look into a running gproxy, process by process.

    What greenlets do (stacks), how late the hub serves timers (lag), memory and objects (memory), and where processor
    time goes (profile).
    """
    length = seconds if seconds is not None else 10.0 if what == "profile" else 1.0
    answer = reach(place_of(sources, control), "debug", length + _LATE, what=what, seconds=length, worker=worker)
    if not answer["ok"]:
        raise NotDone(answer["error"])
    processes = answer["processes"]
    if not processes:
        raise NotDone("there is no such process")
    click.echo(json.dumps({"processes": processes}, indent=2) if as_json else "\n".join(describe(what, processes)))
    return 1 if any("error" in each for each in processes) else 0


def describe(what: str, processes: list[dict[str, Any]]) -> Iterator[str]:
    """The lines for people."""
    tell = {"stacks": _stacks, "lag": _lag, "memory": _memory, "profile": _profile}[what]
    for each in processes:
        name = "control" if each["worker"] == -1 else f"worker {each['worker']}"
        yield f"{name} of generation {each['generation']}, process {each['pid']}"
        yield from (f"    {line}" for line in ([each["error"]] if "error" in each else tell(each)))


def _stacks(facts: dict[str, Any]) -> Iterator[str]:
    yield f"{facts['greenlets']} greenlets"
    for each in facts["stacks"]:
        yield f"{each['count']} at"
        yield from (f"    {frame}" for frame in each["frames"])
    if facts["more"]:
        yield f"{facts['more']} with other stacks"


def _lag(facts: dict[str, Any]) -> Iterator[str]:
    yield (
        f"{facts['looks']} timers in {facts['seconds']} s were late by {facts['mean']} ms in the mean, "
        f"{facts['median']} ms in the median, {facts['p99']} ms at the 99th percentile, {facts['worst']} ms at worst"
    )


def _memory(facts: dict[str, Any]) -> Iterator[str]:
    for name in ("resident", "most_resident", "anonymous", "files", "shared", "swapped", "proportional"):
        if name in facts:
            yield f"{size(facts[name]):>12}  {name.replace('_', ' ')}"
    for name in ("descriptors", "threads", "objects", "frozen_objects", "blocks", "uncollectable"):
        yield f"{facts[name]:>12}  {name.replace('_', ' ')}"
    yield f"{'/'.join(map(str, facts['collections'])):>12}  collections of garbage, by generation"
    yield "objects by their type:"
    for each in facts["types"][:_SHOWN]:
        yield f"{each['count']:>12}  {each['type']}"


def _profile(facts: dict[str, Any]) -> Iterator[str]:
    samples = facts["samples"]
    yield f"{facts['processor_seconds']} s of a processor in {facts['seconds']} s, {samples} samples"
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    for each in facts["stacks"]:
        if each["calls"]:
            own[each["calls"][-1]] += each["count"]
        for call in set(each["calls"]):
            whole[call] += each["count"]
    if samples:
        yield f"{'itself':>8} {'in all':>8}  function"
    for call, count in own.most_common(_SHOWN):
        yield f"{count / samples:>8.1%} {whole[call] / samples:>8.1%}  {call}"
