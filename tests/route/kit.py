"""Rules and sessions in few words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gproxy.base.address import Address, parse_host, parse_ip
from gproxy.base.session import Network, Session, Sniffed
from gproxy.route.options import RouteOptions, RuleOptions
from gproxy.route.rule import Router
from gproxy.schema.model import read
from gproxy.schema.problem import Problem


def session(
    host: str = "www.example.org",
    port: int = 443,
    *,
    network: Network = "tcp",
    inbound: str = "in",
    source: str = "192.0.2.1",
    source_port: int = 50000,
    user: str | None = None,
    addresses: tuple[str, ...] = (),
    sniffed: str = "",
) -> Session:
    """A session; every fact has a value that no test takes for granted."""
    return Session(
        1,
        network,
        inbound,
        Address(parse_host(source), source_port),
        Address(parse_host(host), port),
        user=user,
        addresses=tuple(parse_ip(text) for text in addresses),
        sniffed=Sniffed("tls", sniffed) if sniffed else None,
    )


def problems(*rules: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with the rules."""
    found: list[Problem] = []
    read(RouteOptions, {"rules": list(rules)}, (), found)
    return found


def options(*rules: Mapping[str, Any]) -> tuple[RuleOptions, ...]:
    """The rules, which must be right."""
    found: list[Problem] = []
    route = read(RouteOptions, {"rules": list(rules)}, (), found)
    assert route is not None, found
    return route.rules


def router(*rules: Mapping[str, Any], final: str = "final") -> Router:
    """A router with these rules; one without an action goes to `hit`."""
    return Router(
        options(*({"outbound": "hit"} | dict(rule) if "action" not in rule else rule for rule in rules)), final
    )
