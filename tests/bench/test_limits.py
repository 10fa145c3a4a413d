"""The rows of the group `limits`: each is filled."""

from __future__ import annotations

import pytest

from tests.bench import limits


@pytest.fixture(autouse=True)
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("_ADDRESSES", 50), ("_BANNED", 20), ("_ROUNDS", 10)):
        monkeypatch.setattr(limits, name, size)


def test_every_row_is_filled() -> None:
    (measure,) = limits.MEASURES
    figures = limits.measured()
    assert set(figures) == {row.key for row in measure.rows}
    assert all(figure > 0 for figure in figures.values())
