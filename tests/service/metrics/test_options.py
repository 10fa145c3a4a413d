from __future__ import annotations

from typing import Any

import pytest

from gproxy.schema.model import read
from gproxy.schema.problem import Problem
from gproxy.service.metrics.options import MetricsOptions


def problems_of(**tree: Any) -> list[Problem]:
    problems: list[Problem] = []
    read(MetricsOptions, {"type": "metrics", "listen_port": 1, **tree}, (), problems)
    return problems


def test_what_is_good() -> None:
    assert not problems_of()
    assert not problems_of(token="t" * 16, users=0, upstreams={"out": "example.org:443", "six": "[::1]:1"})


@pytest.mark.parametrize(
    ("tree", "where"),
    [
        ({"token": "short"}, "token"),
        ({"token": "sixteen letters, with spaces"}, "token"),
        ({"token": "ü" * 16}, "token"),
        ({"users": -1}, "users"),
        ({"users": 10_001}, "users"),
        ({"upstreams": {"out": "example.org"}}, "upstreams"),
        ({"tls": {"enabled": True}}, "tls"),
    ],
)
def test_what_is_not(tree: dict[str, Any], where: str) -> None:
    (problem, *_) = problems_of(**tree)
    assert problem.path[0] == where
    assert "short" not in problem.message


def test_somewhere_has_to_be_listened() -> None:
    problems: list[Problem] = []
    read(MetricsOptions, {"type": "metrics"}, (), problems)
    assert [each.path for each in problems] == [("listen_port",)]
    problems = []
    read(MetricsOptions, {"type": "metrics", "listen": "unix:/run/x.sock"}, (), problems)
    assert not problems
