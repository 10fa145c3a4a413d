"""gproxy.protocol.http.options: what is taken, what is refused, and what is refused by name."""

from __future__ import annotations

import pytest

from gproxy.protocol.http.options import HttpInboundOptions, HttpOutboundOptions
from gproxy.schema.model import read

SERVER = {"type": "http", "server": "proxy.example", "server_port": 8080}


def problems(model, tree):
    found = []
    read(model, tree, (), found)
    return [(problem.path[-1] if problem.path else "", problem.message) for problem in found]


def test_an_inbound():
    found = []
    options = read(
        HttpInboundOptions,
        {"type": "http", "listen": "::1", "listen_port": 1080, "users": [{"username": "a", "password": "b:c"}]},
        (),
        found,
    )
    assert not found
    assert options.users[0].password.reveal() == "b:c"


@pytest.mark.parametrize("key", ["set_system_proxy", "domain_resolver"])
def test_what_an_inbound_can_not_do_yet_is_refused_by_name(key):
    assert problems(HttpInboundOptions, {"type": "http", key: {}}) == [(key, "not supported yet")]


def test_a_user_name_with_a_colon_could_never_come():
    [(key, message)] = problems(HttpInboundOptions, {"type": "http", "users": [{"username": "a:b", "password": "c"}]})
    assert key == "users"
    assert "colon" in message


def test_an_outbound():
    found = []
    tree = SERVER | {"username": "u", "password": "p", "headers": {"X-A": "1", "X-B": ["2", "3"]}, "path": "/p?q"}
    options = read(HttpOutboundOptions, tree, (), found)
    assert not found
    assert options.headers == {"X-A": ("1",), "X-B": ("2", "3")}
    assert read(HttpOutboundOptions, dict(SERVER), (), found).headers == {}


@pytest.mark.parametrize("key", ["network_strategy"])
def test_what_an_outbound_can_not_do_yet_is_refused_by_name(key):
    assert problems(HttpOutboundOptions, SERVER | {key: {}}) == [(key, "not supported yet")]


@pytest.mark.parametrize(
    ("tree", "key"),
    [
        ({"username": "a:b"}, "username"),
        ({"path": "/a b"}, "path"),
        ({"path": "/a#b"}, "path"),
        ({"path": "/a\r\nX: y"}, "path"),
        ({"path": "/\xe9"}, "path"),
        ({"headers": {"A B": "c"}}, "headers"),
        ({"headers": {"A:": "c"}}, "headers"),
        ({"headers": {"": "c"}}, "headers"),
        ({"headers": {"A": "b\r\nC: d"}}, "headers"),
        ({"headers": {"A": ["b", "\0"]}}, "headers"),
        ({"headers": {"A": " b"}}, "headers"),
        ({"headers": {"Content-Length": "5"}}, "headers"),
        ({"headers": {"proxy-authorization": "Basic x"}}, "headers"),
        ({"headers": {"Host": ["a", "b"]}}, "headers"),
        ({"headers": {"Host": "a"}, "path": "/b"}, "path"),
    ],
)
def test_what_would_break_the_request_apart_is_refused(tree, key):
    assert [found for found, _ in problems(HttpOutboundOptions, SERVER | tree)] == [key]
