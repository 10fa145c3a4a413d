"""`python -m tests.bench`: measure gproxy beside other proxies, interleaved, and print the tables.

The exit status is 0 when every bar is passed, 1 when one is not, 2 when a measure failed or gproxy was not there.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import sys
import time
from pathlib import Path
from typing import Any

import click

from tests.bench import report, sandbox
from tests.bench.bench import FULL, QUICK, Bench
from tests.bench.catalogue import MEASURES
from tests.bench.peers import PROGRAMS, PeerFailed, version
from tests.bench.sampling import Measure, Sample
from tests.bench.worker import WorkFailed

_DESCRIPTORS = 1 << 16  # a peer that splices holds six a connection: two sockets and two pipes
_NAMES = list(dict.fromkeys(name for measure in MEASURES for name in (measure.group, measure.name) if name))


@click.command(help=__doc__.splitlines()[0] if __doc__ else None)
@click.option("--quick", is_flag=True, help="Less work and fewer rounds: about two minutes.")
@click.option(
    "--only", multiple=True, type=click.Choice(_NAMES), help="Only this measure, or group of measures; may be repeated."
)
@click.option("--rounds", type=click.IntRange(1, 100), help="Samples of each measure and peer (5; 2 with --quick).")
@click.option("--peers", default=",".join(PROGRAMS), show_default=True, help="Which proxies, separated by commas.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write every sample to this file too.")
def main(quick: bool, only: tuple[str, ...], rounds: int | None, peers: str, json_file: Path | None) -> None:
    """Run the bench."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupted)
    commands = _commands(peers.split(","))
    measures = [measure for measure in MEASURES if not only or {measure.name, measure.group} & set(only)]
    facts = _facts(commands, quick)
    for name, text in facts.items():
        click.echo(f"{name}: {text}")
    results = report.Results()
    try:
        with Bench(commands, QUICK if quick else FULL) as bench:
            _measure(bench, measures, rounds or (2 if quick else 5), results, least=not (rounds or quick))
    except KeyboardInterrupt:
        results.fail("interrupted")
    _print(measures, list(commands), results)
    if json_file is not None:
        json_file.write_text(json.dumps(report.as_json(measures, results, facts), indent=2), encoding="utf-8")
    sys.exit(_status(measures, list(commands), results))


def _interrupted(_number: int, _frame: Any) -> None:
    raise KeyboardInterrupt


def _commands(names: list[str]) -> dict[str, list[str]]:
    """The wanted proxies that are installed, in the order asked for."""
    commands = {}
    for name in names:
        if name not in PROGRAMS:
            raise click.BadParameter(f"unknown peer {name!r}; there are {', '.join(PROGRAMS)}")
        command = PROGRAMS[name].find()
        if command is None:
            click.echo(f"{name}: not installed, left out", err=True)
        else:
            commands[name] = command
    if not commands:
        raise click.ClickException("none of the peers is installed")
    return commands


def _facts(commands: dict[str, list[str]], quick: bool) -> dict[str, str]:
    own = sandbox.own_network()
    limit = sandbox.many_descriptors(_DESCRIPTORS)
    facts = {name: version(PROGRAMS[name], command) for name, command in commands.items()}
    facts["machine"] = f"{os.cpu_count()} CPUs, Linux {platform.release()}, Python {platform.python_version()}"
    facts["load before"] = " ".join(f"{load:.2f}" for load in os.getloadavg())
    facts["network"] = "a namespace of its own" if own else "the host's loopback (not root)"
    facts["open files"] = str(limit)
    facts["terms"] = (
        "one process but for workers, loopback, no users, no rules, log level warn; SOCKS5 through a mixed inbound"
    )
    facts["work"] = "quick" if quick else "full"
    return facts


def _measure(bench: Bench, measures: list[Measure], rounds: int, results: report.Results, *, least: bool) -> None:
    """Round by round, and in each round each part on every peer in turn: A B A B. `least`: see Measure.rounds."""
    for measure in measures:
        started = time.monotonic()
        broken: set[tuple[str, int]] = set()
        count = max(1, rounds // 2) if measure.slow else rounds
        for _ in range(max(count, measure.rounds) if least else count):
            for number, part in enumerate(measure.parts):
                for name in bench.names:
                    if (name, number) not in broken and not _sample(bench, measure, part, name, results):
                        broken.add((name, number))
        click.echo(f"{measure.name}: {time.monotonic() - started:.0f} s", err=True)


def _sample(bench: Bench, measure: Measure, part: Sample, name: str, results: report.Results) -> bool:
    """One sample; False if it failed, which is noted."""
    try:
        results.add(name, part(bench, name))
    except (WorkFailed, PeerFailed, OSError) as error:
        results.fail(f"{measure.name}: {name}: {error}")
        bench.new_client()
        return False
    return True


def _print(measures: list[Measure], names: list[str], results: report.Results) -> None:
    click.echo("\n" + report.figures_table(measures, names, results))
    if report.SUBJECT in names:
        click.echo("\n" + report.ratios_table(measures, names, results))
    for failure in results.failures:
        click.echo(f"failed: {failure}", err=True)


def _status(measures: list[Measure], names: list[str], results: report.Results) -> int:
    if results.failures or report.SUBJECT not in names:
        return 2
    verdicts = [report.verdict(row, results) for measure in measures for row in measure.rows]
    return 1 if any(verdict in report.MISSED for verdict in verdicts) else 0


if __name__ == "__main__":
    main()
