"""The rows of the group `tls`: each is filled by a sample."""

from __future__ import annotations

import pytest

from tests.bench import tls
from tests.bench.catalogue import MEASURES
from tests.bench.sampling import Figures, Spent


def test_every_row_has_a_key_of_its_own() -> None:
    keys = [row.key for measure in MEASURES for row in measure.rows]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("way", ["down", "up"])
def test_a_chain_fills_its_rows(way: str) -> None:
    figures: Figures = {}
    for length in (1, 2, 3):
        spent = [Spent(float(length + hop)) for hop in range(length)]
        figures |= tls.of_chain(way, length, 1_000_000_000, 10.0 * length, spent)
    figures |= tls.beside_one(way, figures)
    assert set(figures) == {row.key for row in tls.chain_rows(way)}
    key = f"tls-chain-{way}"
    assert figures[f"{key}-1-rate"] == pytest.approx(100)
    assert figures[f"{key}-2-share"] == pytest.approx(1 / 2)
    assert figures[f"{key}-3-cpu-2"] == pytest.approx(4)
    assert figures[f"{key}-last"] == pytest.approx(5 / 1)
    assert figures[f"{key}-first"] == pytest.approx(3 / 2)
