"""gproxy.schema.transport."""

from __future__ import annotations

from typing import Any

import pytest

from gproxy.schema.model import read
from gproxy.schema.problem import Problem
from gproxy.schema.transport import HttpUpgradeTransport, TransportDial, TransportListen, WsTransport


def read_transport(tree: object) -> tuple[Any, list[tuple[str, str, str]]]:
    found: list[Problem] = []
    options = read(TransportDial, {"transport": tree}, (), found)
    told = [(".".join(map(str, problem.path)), problem.message, problem.hint) for problem in found]
    return options and options.transport, told


def test_none_is_none() -> None:
    assert TransportListen().transport is None
    assert read_transport(None) == (None, [])


def test_a_websocket() -> None:
    options, told = read_transport(
        {
            "type": "ws", "path": "ws", "headers": {"Host": "a.test:81", "X-Own": ["1", "2"]},
            "max_early_data": 2048, "early_data_header_name": "Sec-WebSocket-Protocol",
        }
    )  # fmt: skip
    assert told == []
    assert isinstance(options, WsTransport)
    assert (options.place(), options.max_early_data) == ("/ws", 2048)
    assert options.headers == {"Host": ("a.test:81",), "X-Own": ("1", "2")}
    assert read_transport({"type": "ws"})[0].place() == read_transport({"type": "ws", "path": ""})[0].place() == "/"


def test_an_upgrade() -> None:
    options, told = read_transport({"type": "httpupgrade", "host": "a.test", "path": "/up"})
    assert told == []
    assert isinstance(options, HttpUpgradeTransport)
    assert (options.host, options.place()) == ("a.test", "/up")


@pytest.mark.parametrize(
    ("tree", "key", "words"),
    [
        ("ws", "", "a table"),
        ({}, "", "`type` is missing"),
        ({"type": 5}, "type", "expected text"),
        ({"type": "http"}, "type", "`http` is not supported yet"),
        ({"type": "grpc"}, "type", "`grpc` is not supported yet"),
        ({"type": "quic"}, "type", "`quic` is not supported yet"),
        ({"type": "wss"}, "type", "unknown transport"),
        ({"type": "ws", "host": "a.test"}, "host", "unknown key"),
        ({"type": "httpupgrade", "max_early_data": 5}, "max_early_data", "unknown key"),
        ({"type": "ws", "path": "/ws?ed=2048"}, "path", "without `?`"),
        ({"type": "ws", "path": "/a b"}, "path", "spaces"),
        ({"type": "ws", "headers": {"Upgrade": "x"}}, "headers", "can't be set"),
        ({"type": "ws", "headers": {"sec-websocket-protocol": "x"}}, "headers", "can't be set"),
        ({"type": "ws", "headers": {"a b": "x"}}, "headers", "not a field name"),
        ({"type": "ws", "headers": {"X": "a\r\nb"}}, "headers", "not ASCII text"),
        ({"type": "ws", "headers": {"Host": ["a", "b"]}}, "headers", "one Host"),
        ({"type": "ws", "headers": {"Host": "a/b"}}, "headers", "one Host"),
        ({"type": "ws", "max_early_data": -1}, "max_early_data", "0 to 8192"),
        ({"type": "ws", "max_early_data": 70000}, "max_early_data", "0 to 8192"),
        ({"type": "ws", "early_data_header_name": "X-E"}, "early_data_header_name", "no effect"),
        ({"type": "ws", "max_early_data": 1, "early_data_header_name": "a b"}, "early_data_header_name", "field name"),
        ({"type": "ws", "max_early_data": 1, "early_data_header_name": "Host"}, "early_data_header_name", "else"),
        (
            {"type": "ws", "max_early_data": 1, "early_data_header_name": "X-E", "headers": {"x-e": "1"}},
            "early_data_header_name", "else",
        ),
        ({"type": "httpupgrade", "host": "a b"}, "host", "a name"),
        ({"type": "httpupgrade", "host": "a", "headers": {"host": "b"}}, "host", "`headers`"),
    ],
)  # fmt: skip
def test_what_is_wrong(tree: object, key: str, words: str) -> None:
    options, told = read_transport(tree)
    assert options is None
    assert [path.removeprefix("transport").removeprefix(".").split(".")[0] for path, _, _ in told] == [key]
    assert words in told[0][1]


def test_what_was_meant() -> None:
    assert "ws" in read_transport({"type": "wss"})[1][0][2]
    assert "httpupgrade" in read_transport({"type": "http-upgrade"})[1][0][2]
