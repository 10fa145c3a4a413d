from __future__ import annotations

from typing import Any

import pytest

from gproxy.schema.limits import LimitOptions, Rate
from gproxy.schema.model import Problem, read
from gproxy.schema.problem import BadValue


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("8 bps", 1), ("10 Mbps", 1.25e6), ("10 Mbit/s", 1.25e6), ("1 Gbps", 125e6), ("1.5 MB/s", 1.5e6),
        ("1 MiB/s", 1 << 20), ("512 KiB/s", 512 * 1024), ("100kbps", 12_500), ("1 Mibit/s", (1 << 20) / 8),
    ],
)  # fmt: skip
def test_rates(text: str, rate: float) -> None:
    assert Rate.parse(text) == rate


@pytest.mark.parametrize(
    "value", ["", "10", "10 M", "10 Mb/s", "1 bps", "-1 Mbps", "1 iB/s", "1 Xbps", 10, 1.5, True, None]
)
def test_what_is_no_rate(value: object) -> None:
    with pytest.raises(BadValue, match="a rate such as"):
        Rate.parse(value)


def complaints(**tree: Any) -> list[str]:
    problems: list[Problem] = []
    read(LimitOptions, tree, (), problems)
    return [f"{'.'.join(map(str, problem.path))}: {problem.message}" for problem in problems]


def test_one_that_is_right() -> None:
    assert (
        complaints(tag="x", each=["user", "source"], up="10 Mbps", down="1 MB/s", burst="1 MB", max_sources=None) == []
    )
    assert complaints(each="source", max_handshakes=5, connections_per_second=2, connections_burst=9) == []


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"each": ["user"]}, "expected a limit"),
        ({"max_connections": 0}, "max_connections"),
        ({"max_connections": 5, "burst": "1 MB"}, "no effect without `up` or `down`"),
        ({"max_connections": 5, "connections_burst": 2}, "no effect without `connections_per_second`"),
        ({"max_handshakes": 5, "each": ["source", "user"]}, "not known yet which `user` it is"),
        ({"max_handshakes": 5, "outbounds": ["x"]}, "not known yet which `outbounds` it is"),
        ({"max_sources": 5, "each": ["source"]}, "no effect where each source has a budget of its own"),
        ({"max_sources": 65}, "max_sources"),
        ({"connections_per_second": 0}, "connections_per_second"),
        ({"each": ["client"], "max_connections": 1}, "each"),
        ({"source_prefix_ipv4": 33, "max_connections": 1}, "source_prefix_ipv4"),
    ],
)  # fmt: skip
def test_one_that_is_wrong(tree: dict[str, Any], said: str) -> None:
    assert any(said in each for each in complaints(**tree)), complaints(**tree)
