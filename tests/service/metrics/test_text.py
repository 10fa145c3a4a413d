from __future__ import annotations

import shutil
import subprocess

import pytest

from gproxy.observe.timing import BOUNDS, Timing
from gproxy.service.metrics.families import Family, families
from gproxy.service.metrics.text import wants_open, write

COUNTER = Family("gproxy_things_total", "counter", "Things.", ("kind",))
TIMING = Family("gproxy_wait_seconds", "histogram", "Waits.", ("kind",))
GAUGE = Family("gproxy_now", "gauge", "Now.")


def test_counters_and_gauges() -> None:
    assert write([(COUNTER, {("a",): 1, ("b",): 2**53}), (GAUGE, {(): 0.5})]).decode() == (
        "# HELP gproxy_things_total Things.\n"
        "# TYPE gproxy_things_total counter\n"
        'gproxy_things_total{kind="a"} 1\n'
        'gproxy_things_total{kind="b"} 9007199254740992\n'
        "# HELP gproxy_now Now.\n"
        "# TYPE gproxy_now gauge\n"
        "gproxy_now 0.5\n"
    )


def test_openmetrics_calls_counters_by_another_name_and_has_an_end() -> None:
    assert write([(COUNTER, {("a",): 1})], openmetrics=True).decode() == (
        "# HELP gproxy_things Things.\n"
        "# TYPE gproxy_things counter\n"
        'gproxy_things_total{kind="a"} 1\n'
        "# EOF\n"
    )  # fmt: skip


def test_buckets_hold_all_that_is_below_their_bounds() -> None:
    timing = Timing()
    for seconds in (0.0001, 0.3, 99.0):
        timing.observe(seconds)
    lines = write([(TIMING, {("x",): timing.values()})]).decode().splitlines()[2:]
    assert lines[0] == 'gproxy_wait_seconds_bucket{kind="x",le="0.001"} 1'
    assert 'gproxy_wait_seconds_bucket{kind="x",le="0.25"} 1' in lines
    assert 'gproxy_wait_seconds_bucket{kind="x",le="0.5"} 2' in lines
    assert lines[-3:] == [
        'gproxy_wait_seconds_bucket{kind="x",le="+Inf"} 3',
        'gproxy_wait_seconds_sum{kind="x"} 99.3001',
        'gproxy_wait_seconds_count{kind="x"} 3',
    ]
    assert len(lines) == len(BOUNDS) + 3


def test_names_can_not_break_out_of_their_quotes() -> None:
    text = write([(COUNTER, {('a"b\\c\nd',): 1})]).decode()
    assert 'gproxy_things_total{kind="a\\"b\\\\c\\nd"} 1\n' in text


def test_what_is_not_there_is_not_named() -> None:
    assert write([(COUNTER, {})]) == b""


@pytest.mark.parametrize(
    ("accept", "open_"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", True),
        ("application/openmetrics-text;version=1.0.0;q=0.2,text/plain;q=0.5", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=none", False),
        (";,;q=,", False),
    ],
)
def test_who_gets_openmetrics(accept: str, open_: bool) -> None:
    assert wants_open(accept) is open_


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_every_name_is_one_that_prometheus_finds_good() -> None:
    values = [
        (family, {tuple("x" for _ in family.labels): Timing().values() if family.kind == "histogram" else 1})
        for family in families()
    ]
    done = subprocess.run(["promtool", "check", "metrics"], input=write(values), capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
