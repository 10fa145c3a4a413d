from __future__ import annotations

from typing import Any

import pytest

from gproxy.schema.model import read
from gproxy.service.ssm.options import SsmApiOptions

GOOD: dict[str, Any] = {"type": "ssm-api", "listen_port": 8080, "servers": {"/": "in"}}


def problems_of(**changes: Any) -> list[str]:
    problems: list[Any] = []
    read(SsmApiOptions, {**GOOD, **changes}, (), problems)
    return [f"{problem.path[0]}: {problem.message}" for problem in problems]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"servers": {"/": "in", "/second": "two", "/a/b-c.d/": "three"}},
        {"listen": "unix:/run/ssm.sock", "listen_port": None},
        {"listen_port": None, "listen_ports": ["8080-8081"]},
        {"cache_path": "users.json"},
    ],
)
def test_good_ones(changes: dict[str, Any]) -> None:
    assert problems_of(**changes) == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"listen_port": None}, "listen_port: expected the port to listen on"),
        ({"servers": {}}, "servers: expected a path and the tag of an inbound"),
        ({"servers": {"ss": "in"}}, "servers: expected a path such as `/` or `/ss`, got `ss`"),
        ({"servers": {"/{x}": "in"}}, "servers: expected a path such as `/` or `/ss`, got `/{x}`"),
        ({"servers": {"/a": "in", "/a/": "two"}}, "servers: `/a/` is there twice"),
        ({"tls": {}}, "tls: not supported yet"),
        ({"udp_timeout": "5s"}, "udp_timeout: unknown key"),
        ({"detour": "x"}, "detour: unknown key"),
    ],
)
def test_bad_ones(changes: dict[str, Any], complaint: str) -> None:
    assert problems_of(**changes) == [complaint]
