"""gproxy.protocol.trojan.options."""

from __future__ import annotations

import logging

import pytest

from gproxy.protocol.trojan.options import TrojanInboundOptions, TrojanOutboundOptions
from gproxy.schema.model import read
from tests.protocol.trojan.lab import USERS, accepting, make_outbound

SITE = {"server": "127.0.0.1", "server_port": 8080}
TLS = {"enabled": True, "certificate": ["c"], "key": ["k"], "alpn": ["h2", "http/1.1"]}
SERVER = {"server": "192.0.2.1", "server_port": 443}


def problems(model, **tree):
    found = []
    read(model, {"type": "trojan", **tree}, (), found)
    return [(".".join(map(str, problem.path)), problem.message) for problem in found]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"fallback": SITE},
        {"fallback": SITE | {"proxy_protocol": 2}},
        {"tls": TLS, "fallback_for_alpn": {"h2": SITE, "http/1.1": SITE | {"proxy_protocol": 1}}},
        {"users": [{"password": "pw1"}, {"name": "x", "password": "pw2"}, {"name": "x", "password": "pw3"}]},
    ],
)
def test_what_an_inbound_takes(more):
    assert problems(TrojanInboundOptions, **{"users": USERS, **more}) == []


@pytest.mark.parametrize(
    ("more", "where", "message"),
    [
        ({"users": []}, "users", "expected at least one"),
        ({"users": [{"name": "x", "password": ""}]}, "users", "password of 'x': expected one"),
        ({"users": [*USERS, {"name": "x", "password": "pw1"}]}, "users", "password of 'x': another one has the same"),
        ({"fallback_for_alpn": {"h2": SITE}}, "fallback_for_alpn", "without `tls` no protocol is agreed on"),
        (
            {"tls": TLS, "fallback_for_alpn": {"h3": SITE}},
            "fallback_for_alpn",
            "h3: not in `tls.alpn`, so it is never agreed on",
        ),
        ({"fallback": SITE | {"server": "not a host"}}, "fallback.server", "expected an IP address or a domain"),
        (
            {"fallback": SITE | {"proxy_protocol": 3}},
            "fallback.proxy_protocol",
            "expected one of `0`, `1`, `2`, got an integer",
        ),
        ({"fallback": {"server": "127.0.0.1"}}, "fallback", "`server_port` is missing"),
        ({"transport": {"type": "quic"}}, "transport.type", "transport `quic` is not supported yet"),
    ],
)
def test_what_an_inbound_refuses(more, where, message):
    assert problems(TrojanInboundOptions, **{"users": USERS, **more}) == [(where, message)]


def test_an_inbound_without_users():
    assert problems(TrojanInboundOptions) == [("", "`users` is missing")]


@pytest.mark.parametrize("more", [{}, {"network": "tcp"}, {"network": ["tcp", "udp"]}, {"tls": {"enabled": True}}])
def test_what_an_outbound_takes(more):
    assert problems(TrojanOutboundOptions, password="pw1", **SERVER, **more) == []


@pytest.mark.parametrize(
    ("more", "where", "message"),
    [
        ({"password": ""}, "password", "expected a password"),
        ({"network": "icmp"}, "network", "expected `tcp` or `udp`"),
        ({"transport": {"type": "quic"}}, "transport.type", "transport `quic` is not supported yet"),
        ({"udp_over_tcp": True}, "udp_over_tcp", "unknown key"),
    ],
)
def test_what_an_outbound_refuses(more, where, message):
    assert problems(TrojanOutboundOptions, **{"password": "pw1", **SERVER, **more}) == [(where, message)]


def test_no_problem_tells_a_password():
    told = problems(TrojanInboundOptions, users=[{"name": name, "password": "s3cret"} for name in "ab"])
    assert told
    assert "s3cret" not in str(told)


def test_trojan_without_tls_is_told_at_the_start(caplog):
    caplog.set_level(logging.WARNING)
    accepting()
    make_outbound(None)
    assert caplog.text.count("no `tls`") == 2
    caplog.clear()
    make_outbound(None, tls={"enabled": True})
    assert not caplog.text
