"""`python -m tests.bench.soak`: see `make soak`.

The exit status is 0 when every bar is passed, 1 when one is not, 2 when there was nothing to measure.
"""

from __future__ import annotations

import functools
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import click

from tests.bench import measure, sandbox
from tests.bench.origin import Origin
from tests.bench.peers import PROGRAMS, PeerFailed
from tests.bench.soak.house import House
from tests.bench.soak.steady import Steady, Tally
from tests.bench.soak.verdict import MB, Count, Course, judge, new_types, percentile
from tests.bench.soak.watch import Holding, Memory, holdings, memory, settled
from tests.bench.worker import Worker, WorkFailed

_DESCRIPTORS = 1 << 16
_MINUTE = 60.0
_LOOKS = 6  # at memory, a minute
_WARM = 500  # connections at least: so many that idle greenlets are kept, as many as ever are
_GROW = 5.0  # seconds in which the held connections are opened
_REST = 20.0  # seconds in which everything may be closed
_WAVE_SECONDS = 10.0
_PROBE = 0.5  # seconds
_PROBE_RATE = 50.0
_USUAL = 2.0  # seconds of it before the wave
_CALM = 3.0  # times the median of what it took before the wave
_CALM_MS = 20.0  # at least: a machine that does other work is late by so much now and then
_PATIENCE = 30.0  # seconds for a recovery
_HEAD = (
    "  minute |  new/s   p50   p99 ms |  req/s   p50   p99 ms | failed | CPU gproxy load | "
    "all: PSS | each worker: RSS, PSS, shared MB, descriptors, greenlets, objects"
)


class Soak:
    """One run."""

    def __init__(self, house: House, origin: Origin, load: Worker[Steady], probe: Worker[Steady]) -> None:
        self._house = house
        self._origin = origin
        self._load = load
        self._probe = probe
        self.course = Course()

    def warm(self, count: int) -> None:
        """Have everything made that is made lazily, then look at what is held at rest."""
        for _ in range(2):
            self._load.call(Steady.grow, max(count, _WARM), _GROW)
            self._load.call(Steady.ask_all)
            self._load.call(Steady.release)
        self.course.before = self._at_rest()

    def steady(self, count: int, seconds: float, reloads: int) -> None:
        """Hold so many connections for so long, with a line for each minute."""
        _count(self.course.steady, self._load.call(Steady.grow, count, _GROW))
        self.course.reloads = reloads
        click.echo(_HEAD)
        began = time.monotonic()
        due = [began + seconds * (number + 1) / (reloads + 1) for number in range(reloads)]
        while (left := began + seconds - time.monotonic()) > _GROW:
            if due and time.monotonic() >= due[0]:
                due.pop(0)
                self._house.reload()
                click.echo("        reloaded")
            self._minute(began, min(left, _MINUTE))

    def _minute(self, began: float, seconds: float) -> None:
        total = Tally()
        looks: list[Memory] = []
        at, used = time.monotonic(), self._used()
        for _ in range(_LOOKS):
            total.add(self._load.call(Steady.run, seconds / _LOOKS))
            looks = memory(self._house)
            self.course.memory += looks
        passed = time.monotonic() - at
        shares = [(after - before) / passed for before, after in zip(used, self._used(), strict=True)]
        self._house.scrape()
        _count(self.course.steady, total)
        shares.append(measure.pss_bytes(self._house.pid) / MB)
        click.echo(_line((time.monotonic() - began) / _MINUTE, total, shares, looks, holdings(self._house)))
        _tell_failed(total)

    def rest(self) -> None:
        """Close all, and look at what is held then."""
        self._load.call(Steady.release)
        self.course.after = self._at_rest()

    def wave(self, count: int) -> None:
        """From none to so many connections, each of which is used, and back."""
        usual = self._probe.call(Steady.run, _USUAL).opened
        wave = self._load.call(Steady.grow, count, _WAVE_SECONDS)
        began = time.monotonic()
        click.echo(
            f"wave: {count} connections in {wave.seconds:.1f} s, p50 {percentile(wave.opened, 50):.1f} ms, "
            f"p99 {percentile(wave.opened, 99):.1f} ms; before {percentile(usual, 50):.1f} and "
            f"{percentile(usual, 99):.1f} ms"
        )
        self.course.recovery = self._recovered(began, max(_CALM * percentile(usual, 50), _CALM_MS))
        wave.add(self._load.call(Steady.ask_all))
        click.echo(
            f"wave: {sum(each.rss for each in memory(self._house)) / MB:.1f} MB of RSS, both workers, at its top"
        )
        self.course.wave = Count(wave.tried, wave.failed.total())
        _tell_failed(wave)
        self._load.call(Steady.release)
        click.echo(f"wave: {settled(self._house, _PATIENCE):.1f} s until the descriptors of all were given back")

    def _recovered(self, began: float, calm: float) -> float | None:
        """Seconds until others are served as before, beside those that are held; None if that never comes."""
        while (at := time.monotonic() - began) < _PATIENCE:
            tally = self._probe.call(Steady.run, _PROBE)
            if not tally.failed and percentile(tally.opened, 50) <= calm:
                return at
        return None

    def _at_rest(self) -> list[Holding]:
        settled(self._house, _REST)
        return holdings(self._house)

    def _used(self) -> list[float]:
        """CPU seconds: of the house, and of the load with its origin."""
        load = [self._load.pid, *self._origin.pids]
        return [measure.cpu_seconds(self._house.pid), sum(map(measure.cpu_seconds, load))]


def _count(count: Count, tally: Tally) -> None:
    count.tried += tally.tried
    count.failed += tally.failed.total()


def _line(minute: float, tally: Tally, used: list[float], looks: list[Memory], held: list[Holding]) -> str:
    columns = [f"{minute:8.1f}"]
    for times in (tally.opened, tally.asked):
        columns.append(
            f"{len(times) / tally.seconds:6.0f} {percentile(times, 50):5.1f} {percentile(times, 99):5.1f}   "
        )
    columns += [f"{tally.failed.total():6}", f"{used[0]:10.0%} {used[1]:4.0%}", f"{used[2]:8.2f}"]
    by_pid = {look.pid: look for look in looks}
    for each in held:
        if look := by_pid.get(each.pid):
            columns.append(
                f"{look.rss / MB:6.2f} {look.pss / MB:6.2f} {look.shared / MB:5.2f}"
                f" {each.descriptors:5} {each.greenlets:5} {each.objects:6}"
            )
    return " | ".join(columns)


def _tell_failed(tally: Tally) -> None:
    for text, number in tally.failed.most_common():
        click.echo(f"        {number} x {text}")


@click.command(help="A gproxy of two workers under a load that goes on for long, and then under a wave.")
@click.option("--minutes", type=click.FloatRange(0.2), default=10.0, show_default=True, help="Of the steady load.")
@click.option("--hours", type=click.FloatRange(0.01), help="The same.")
@click.option("--rate", default="100", show_default=True, help="New connections a second; `max` for as many as go.")
@click.option("--requests", default=4.0, show_default=True, help="On held connections, for each new one.")
@click.option("--hold", default=1000, show_default=True, help="Connections that are held.")
@click.option(
    "--life", default=120.0, show_default=True, help="Seconds that one is held, before another takes its place."
)
@click.option("--wave", default=5000, show_default=True, help="Connections in ten seconds at the end; 0 for none.")
@click.option("--reloads", default=0, show_default=True, help="During the steady load.")
@click.option("--memory", "most_memory", default=1.0, show_default=True, help="MB by which a worker's RSS may change.")
@click.option("--samples", type=click.Path(path_type=Path), help="A file for each look at memory, as CSV.")
def main(
    minutes: float,
    hours: float | None,
    rate: str,
    requests: float,
    hold: int,
    life: float,
    wave: int,
    reloads: int,
    most_memory: float,
    samples: Path | None,
) -> None:
    """Run it."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupted)
    command = PROGRAMS["gproxy"].find()
    if command is None:
        raise click.ClickException("gproxy is not installed")
    sandbox.own_network()
    sandbox.many_descriptors(_DESCRIPTORS)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gproxy-soak-")))
        origin = Origin()
        stack.callback(origin.stop)
        try:
            house = House(command, origin.ports, home / "gproxy")
            stack.callback(house.stop)
            pace = 0.0 if rate == "max" else float(rate)
            load = Worker(functools.partial(Steady, house.ways, pace, requests, life))
            stack.callback(load.stop)
            probe = Worker(functools.partial(Steady, house.ways, _PROBE_RATE, 0.0, life))
            stack.callback(probe.stop)
            soak = Soak(house, origin, load, probe)
            soak.warm(hold)
            soak.steady(hold, (hours * 60 if hours else minutes) * _MINUTE, reloads)
            if samples is not None:
                _write(samples, soak.course.memory)
            soak.rest()
            if wave:
                soak.wave(wave)
            said = house.log.read_text("utf-8", "replace")
        except (WorkFailed, PeerFailed, OSError) as error:
            click.echo(f"failed: {error}", err=True)
            sys.exit(2)
    sys.exit(_report(soak.course, most_memory, said))


def _report(course: Course, most_memory: float, said: str) -> int:
    """Print the verdicts; return the exit status."""
    click.echo()
    verdicts = list(judge(course, most_memory))
    for verdict in verdicts:
        click.echo(f"{'pass' if verdict.passed else 'MISS'}  {verdict.what}: {verdict.found}")
    for early, late in zip(course.before, course.after, strict=False):
        if more := new_types(early, late):
            click.echo(f"      worker {late.worker} has more of: {', '.join(more)}")
    if said:
        click.echo("gproxy's own log:\n" + "\n".join(said.splitlines()[-20:]))
    return 0 if all(verdict.passed for verdict in verdicts) else 1


def _write(file: Path, looks: list[Memory]) -> None:
    lines = [f"{look.at:.1f},{look.pid},{look.rss},{look.pss},{look.shared}" for look in looks]
    file.write_text("\n".join(["seconds,pid,rss,pss,shared", *lines, ""]), "ascii")


def _interrupted(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
