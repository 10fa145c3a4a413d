from __future__ import annotations

import re
from pathlib import Path

from gproxy.service.metrics.families import families

MANUAL = Path(__file__).parents[3] / "docs/metrics.md"


def test_the_manual_names_every_metric_and_no_other() -> None:
    named = re.findall(r"^\| `(gproxy_\w+)` \| (\w+) \| ([^|]*) \|", MANUAL.read_text("utf-8"), re.MULTILINE)
    told = [(name, kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in named]
    assert sorted(told) == [(each.name, each.kind, each.labels) for each in families()]


def test_names_are_of_one_kind() -> None:
    all_ = families()
    assert len({each.name for each in all_}) == len(all_)
    for each in all_:
        assert each.name.startswith("gproxy_")
        assert (each.kind == "counter") == each.name.endswith("_total"), each.name
