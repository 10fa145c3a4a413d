"""gproxy.route.naming: how rules are called in the log."""

from __future__ import annotations

import pytest

from gproxy.route.naming import name_of
from tests.route.kit import options


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ({"outbound": "a"}, "rule[3] => route(a)"),
        ({"domain_suffix": "example.org", "outbound": "proxy"}, "rule[3] domain_suffix=example.org => route(proxy)"),
        ({"port": [1, 2], "inbound": "in", "action": "reject"}, "rule[3] inbound=in port=[1 2] => reject"),
        ({"port": [1, 2, 3, 4], "action": "reject", "method": "drop"}, "rule[3] port=[1 2 3…] => reject(drop)"),
        ({"port_range": ":9", "ip_is_private": True, "action": "resolve", "strategy": "ipv4_only"},
         "rule[3] ip_is_private=true port_range=0:9 => resolve(ipv4_only)"),
        ({"ip_cidr": "10.1.1.1/8", "invert": True, "action": "resolve"}, "rule[3] !(ip_cidr=10.0.0.0/8) => resolve"),
        ({"action": "sniff"}, "rule[3] => sniff"),
        ({"network": "udp", "action": "sniff", "sniffer": ["quic", "dns"]}, "rule[3] network=udp => sniff(quic,dns)"),
        ({"protocol": ["tls", "quic"], "client": "a b", "outbound": "a"},
         "rule[3] protocol=[tls quic] client=a b => route(a)"),
        ({"ip_version": 6, "action": "route-options", "udp_connect": True}, "rule[3] ip_version=6 => route-options"),
        ({"type": "logical", "mode": "or", "invert": True, "outbound": "a",
          "rules": [{"port": 1}, {"type": "logical", "mode": "and", "rules": [{"port": 2}, {"network": "udp"}]}]},
         "rule[3] !(port=1 || (port=2 && network=udp)) => route(a)"),
    ],
)  # fmt: skip
def test_names(rule, name):
    (read,) = options(rule)
    assert name_of(3, read) == name


def test_names_are_bounded():
    (read,) = options({"domain_regex": "a" * 5000, "outbound": "x"})
    name = name_of(0, read)
    assert len(name) < 200
    assert name.endswith("… => route(x)")
