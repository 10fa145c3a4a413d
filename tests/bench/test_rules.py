"""The rows of the group `rules`: each is filled, by walks and look-ups that match as often as they say."""

from __future__ import annotations

import pytest

from tests.bench import rules


@pytest.fixture(autouse=True)
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("_SUFFIXES", 3000), ("_PREFIXES", 300), ("_BATCH", 20), ("_BATCHES", 10)):
        monkeypatch.setattr(rules, name, size)


def test_every_row_is_filled() -> None:
    (measure,) = rules.MEASURES
    figures = rules.measured()
    assert set(figures) == {row.key for row in measure.rows}
    assert all(figure > 0 for key, figure in figures.items() if key != "rules-memory")
