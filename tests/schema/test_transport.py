"""gproxy.schema.transport."""

from __future__ import annotations

from typing import Any

import pytest

from gproxy.schema.model import read
from gproxy.schema.problem import Problem
from gproxy.schema.transport import (
    GrpcTransport,
    HttpTransport,
    HttpUpgradeTransport,
    TransportDial,
    TransportListen,
    WsTransport,
)


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


def test_requests() -> None:
    options, told = read_transport(
        {
            "type": "http", "host": "a.test", "path": "p", "method": "POST", "headers": {"X": "y"},
            "idle_timeout": "15s", "ping_timeout": "5s",
        }
    )  # fmt: skip
    assert told == []
    assert isinstance(options, HttpTransport)
    assert (options.host, options.place(), options.method) == (("a.test",), "/p", "POST")
    assert (options.idle_timeout, options.ping_timeout) == (15, 5)


def test_calls() -> None:
    options, told = read_transport({"type": "grpc", "service_name": "Gun", "permit_without_stream": True})
    assert told == []
    assert options == GrpcTransport(type="grpc", service_name="Gun", permit_without_stream=True)


@pytest.mark.parametrize(
    ("tree", "key", "words"),
    [
        ("ws", "", "a table"),
        ({}, "", "`type` is missing"),
        ({"type": 5}, "type", "expected text"),
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
        ({"type": "http", "host": ["a", "b c"]}, "host", "names"),
        ({"type": "http", "host": ["a"], "headers": {"host": "b"}}, "host", "`headers`"),
        ({"type": "http", "method": "P T"}, "method", "a method"),
        ({"type": "http", "method": "CONNECT"}, "method", "a body"),
        ({"type": "http", "headers": {"TE": "x"}}, "headers", "can't be set"),
        ({"type": "http", "path": "/a?b"}, "path", "without `?`"),
        ({"type": "http", "max_early_data": 1}, "max_early_data", "unknown key"),
        ({"type": "http", "idle_timeout": "x"}, "idle_timeout", "expected"),
        ({"type": "grpc", "path": "/a"}, "path", "unknown key"),
        ({"type": "grpc", "service_name": "a b"}, "service_name", "spaces"),
        ({"type": "grpc", "service_name": "/"}, "service_name", "a name"),
        ({"type": "grpc", "ping_timeout": -1}, "ping_timeout", "expected"),
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
