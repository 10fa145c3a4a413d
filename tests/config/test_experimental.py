from __future__ import annotations

from typing import Any

import pytest

from gproxy.config.experimental import ExperimentalOptions
from gproxy.schema.model import Problem, read


def complaints(**tree: Any) -> list[str]:
    problems: list[Problem] = []
    read(ExperimentalOptions, tree, (), problems)
    return [problem.message for problem in problems]


def test_good_ones() -> None:
    assert complaints(cache_file={"enabled": True, "path": "x.db", "cache_id": "a", "store_fakeip": True}) == []
    assert complaints() == []


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"store_fakeip": True}, "no effect without `enabled`"),
        ({"store_dns": True}, "no effect without `enabled`"),
        ({"enabled": True, "path": ""}, "expected a path"),
        ({"enabled": True, "cache_id": "../x"}, "expected no `/`"),
        ({"enabled": True, "store_rdrc": True}, "not supported yet"),
    ],
)
def test_what_is_wrong(tree: dict[str, Any], said: str) -> None:
    assert any(said in each for each in complaints(cache_file=tree)), complaints(cache_file=tree)


def test_other_tables_are_refused_by_name() -> None:
    assert complaints(clash_api={}) == ["not supported yet"]
