from __future__ import annotations

from typing import Any

import pytest

from gproxy.protocol.dns.options import DnsInboundOptions
from gproxy.schema.model import read
from gproxy.schema.problem import Problem

TLS = {"enabled": True, "insecure": True}


def problems(**tree: Any) -> list[tuple[Any, ...]]:
    found: list[Problem] = []
    read(DnsInboundOptions, {"type": "dns", **tree}, (), found)
    return [problem.path for problem in found]


def options(**tree: Any) -> DnsInboundOptions:
    found: list[Problem] = []
    read_options = read(DnsInboundOptions, {"type": "dns", **tree}, (), found)
    assert read_options is not None, found
    return read_options


@pytest.mark.parametrize(
    ("tree", "networks"),
    [
        ({}, ("tcp", "udp")),
        ({"network": "udp"}, ("udp",)),
        ({"tls": TLS}, ("tcp",)),
        ({"protocol": "https"}, ("tcp",)),
        ({"protocol": "https", "tls": TLS, "network": "tcp"}, ("tcp",)),
    ],
)
def test_what_each_form_is_carried_by(tree: dict[str, Any], networks: tuple[str, ...]) -> None:
    assert options(**tree).networks() == networks


def test_https_agrees_on_http() -> None:
    assert options(protocol="https", tls=TLS).spoken() == ("h2", "http/1.1")
    assert options(tls=TLS).spoken() == ()


@pytest.mark.parametrize(
    ("tree", "key"),
    [
        ({"tls": TLS, "network": "udp"}, "network"),
        ({"protocol": "https", "network": ["tcp", "udp"]}, "network"),
        ({"path": "/x"}, "path"),
        ({"protocol": "https", "path": "x"}, "path"),
        ({"protocol": "https", "path": "/x?y"}, "path"),
        ({"protocol": "https", "path": "/ü"}, "path"),
        ({"protocol": "quic"}, "protocol"),
        ({"detour": "other"}, "detour"),
        ({"udp_timeout": "1s"}, "udp_timeout"),
        ({"rate_limit": -1}, "rate_limit"),
        ({"allow": ["everybody"]}, "allow"),
    ],
)
def test_what_has_no_effect_is_refused(tree: dict[str, Any], key: str) -> None:
    assert [path[:1] for path in problems(**tree)] == [(key,)]


def test_what_is_right() -> None:
    assert not problems(protocol="https", path="/names", allow=["10.0.0.0/8", "::1"], rate_limit=0)
    assert not problems(network=["tcp", "udp"], forward_client_subnet=True)
