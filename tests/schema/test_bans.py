from __future__ import annotations

from typing import Any

import pytest

from gproxy.schema.bans import BanOptions
from gproxy.schema.model import Problem, read


def complaints(**tree: Any) -> list[str]:
    problems: list[Problem] = []
    read(BanOptions, tree, (), problems)
    return [f"{'.'.join(map(str, problem.path))}: {problem.message}" for problem in problems]


def test_nothing_need_be_said() -> None:
    assert complaints() == []
    assert complaints(nftables={"table": "filter", "set_ipv4": "banned-4", "set_ipv6": "banned_6"}) == []


@pytest.mark.parametrize(
    ("tree", "complaint"),
    [
        ({"window": "0s"}, "window: expected a second at least, and ten years at most"),
        ({"duration": "20y"}, "duration: "),
        ({"duration": "1h", "max_duration": "1m"}, "max_duration: is shorter than `duration`"),
        ({"tries": 0}, "tries: "),
        ({"growth": 0.5}, "growth: "),
        ({"weights": {"auth": 0, "replay": 0, "malformed": 0}}, "weights: nothing counts"),
        ({"weights": {"auth": -1}}, "weights.auth: "),
        ({"allow": ["everybody"]}, "allow.0: expected an IP prefix"),
        ({"source_prefix_ipv4": 33}, "source_prefix_ipv4: "),
        ({"nftables": {"table": "filter"}}, "nftables: expected a set"),
        ({"nftables": {"table": "filter", "set_ipv4": "x; flush ruleset"}}, "nftables.set_ipv4: expected a name"),
        ({"nftables": {"table": "", "set_ipv4": "x"}}, "nftables.table: expected a name"),
    ],
)
def test_what_is_refused(tree: dict[str, Any], complaint: str) -> None:
    [said] = complaints(**tree)
    assert said.startswith(complaint)
