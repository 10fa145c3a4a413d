"""The pairs of the group `limits`: turns that are fair, and rows that are filled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from tests.bench import guarded
from tests.bench.sampling import Spent


def test_a_scrape_fills_its_rows() -> None:
    figures = guarded.scraped()
    _, service = guarded.MEASURES
    assert set(figures) <= {row.key for row in service.rows}
    assert 0 < figures["metrics-scrape"] <= figures["metrics-scrape-first"]


def test_the_two_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    worked: list[Any] = []

    @contextmanager
    def cpu_of(server: Any) -> Iterator[Spent]:
        spent = Spent()
        yield spent
        spent.seconds = {"limit": 3.0, "": 2.0}[server]

    monkeypatch.setattr(guarded, "cpu_of", cpu_of)
    monkeypatch.setattr(guarded, "_server", lambda bench, kind: kind)
    bench: Any = SimpleNamespace()
    assert guarded._pair(bench, "limit", worked.append) == (3.0, 2.0, 1.5)
    assert worked[:4] == ["", "limit", "limit", ""]
    assert len(worked) == 2 * guarded._TURNS
