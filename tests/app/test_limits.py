from __future__ import annotations

import json
from typing import Any

import pytest

from gproxy.app.limits import build_limits
from gproxy.base.address import Address
from gproxy.base.errors import Limited
from gproxy.base.session import Session
from gproxy.config.load import ConfigProblems, Source, load_sources
from gproxy.config.root import Root, read_root
from gproxy.limit.memory import Memory


def root(**tables: Any) -> Root:
    return read_root(load_sources([Source("x.json", json.dumps(tables), "json")]))


INBOUNDS = [
    {"type": "mixed", "tag": "a", "listen_port": 1},
    {"type": "mixed", "tag": "b", "listen_port": 2, "limits": "x"},
]


def session(inbound: str) -> Session:
    return Session(1, "tcp", inbound, Address.parse("192.0.2.1:9"), Address.parse("x.test:80"))


def test_without_any_there_is_nothing() -> None:
    assert build_limits(root(inbounds=INBOUNDS[:1]), Memory()) is None


def test_an_inbound_may_name_them() -> None:
    limits = build_limits(root(inbounds=INBOUNDS, limits=[{"tag": "x", "max_connections": 1}]), Memory())
    assert limits is not None
    limits.join()
    for inbound in ("a", "a", "b"):
        limits.arrive(session(inbound))
    with pytest.raises(Limited, match="limit x: 1 connections are open"):
        limits.arrive(session("b"))


def test_one_without_a_tag_is_called_by_its_index() -> None:
    limits = build_limits(root(inbounds=INBOUNDS[:1], limits={"connections_per_second": 0.001}), Memory())
    assert limits is not None
    limits.join()
    limits.arrive(session("a"))
    with pytest.raises(Limited, match=r"limit 0: more than 0\.001 connections a second"):
        limits.arrive(session("a"))


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"inbounds": INBOUNDS}, "no limit has the tag `x`"),
        (
            {"limits": [{"tag": "x", "max_connections": 1, "inbounds": "c"}], "inbounds": INBOUNDS},
            "no inbound has the tag `c`",
        ),
        ({"limits": [{"max_connections": 1, "outbounds": "c"}]}, "no outbound has the tag `c`"),
        ({"limits": [{"tag": "x", "max_connections": 1}, {"tag": "x", "max_connections": 1}]}, "the tag `x` is taken"),
        ({"route": {"rules": {"action": "route-options", "limits": "y"}}}, "no limit has the tag `y`"),
    ],
)
def test_what_is_named_is_there(tables: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigProblems) as caught:
        root(**tables)
    assert any(said in problem.message for problem in caught.value.problems)
