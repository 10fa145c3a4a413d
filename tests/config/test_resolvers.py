"""gproxy.config.resolvers: servers that are named and not there, and those that need themselves."""

from __future__ import annotations

from typing import Any

import pytest

from gproxy.config.references import references
from gproxy.schema.problem import Problem, dotted

A = {"type": "udp", "tag": "a", "server": "192.0.2.1"}
B = {"type": "tls", "tag": "b", "server": "192.0.2.2"}
HOSTS = {"type": "hosts", "tag": "h"}
DIRECT = {"type": "direct", "tag": "d"}


def problems(**tree: Any) -> dict[str, str]:
    """What is wrong: the messages by their places."""
    found: list[Problem] = []
    references(tree, found)
    return {dotted(each.path): each.message for each in found}


def dns(*servers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"servers": list(servers), **more}


def proxy(tag: str, server: str = "192.0.2.9", **more: Any) -> dict[str, Any]:
    return {"type": "socks", "tag": tag, "server": server, "server_port": 1080, **more}


DEFAULT = {"default_domain_resolver": "a"}


def test_what_is_right() -> None:
    assert not problems()
    assert not problems(dns={})
    assert not problems(dns=dns(A))
    assert not problems(dns=dns(A, B), route=DEFAULT)
    assert not problems(dns=dns(A, B), outbounds=[proxy("p"), {"type": "block"}])
    assert not problems(dns=dns(A, {**B, "detour": "d"}), outbounds=[{**DIRECT, "domain_resolver": {"server": "a"}}])


@pytest.mark.parametrize(
    ("tree", "where"),
    [
        ({"dns": dns(A, final="x")}, "dns.final"),
        ({"dns": dns(A, rules=[{"server": "x"}])}, "dns.rules[0].server"),
        ({"dns": dns(A, rules=[{"preferred_by": ["x"], "server": "a"}])}, "dns.rules[0].preferred_by[0]"),
        ({"dns": dns(A, rules=[{"type": "logical", "rules": [{"search_domain_available": "x"}], "server": "a"}])},
         "dns.rules[0].rules[0].search_domain_available"),
        ({"dns": dns(A), "route": {"rules": [{"action": "resolve", "server": "x"}]}}, "route.rules[0].server"),
        ({"dns": dns(A), "route": {"default_domain_resolver": "x"}}, "route.default_domain_resolver"),
        ({"dns": dns(A), "route": {"default_domain_resolver": {"server": "x"}}},
         "route.default_domain_resolver.server"),
        ({"dns": dns(A), "outbounds": [{**DIRECT, "domain_resolver": "x"}]}, "outbounds[0].domain_resolver"),
        ({"dns": dns({**A, "domain_resolver": "x"})}, "dns.servers[0].domain_resolver"),
        ({"outbounds": [{**DIRECT, "domain_resolver": "x"}]}, "outbounds[0].domain_resolver"),
        ({"dns": {}, "route": {"default_domain_resolver": "x"}}, "route.default_domain_resolver"),
    ],
)  # fmt: skip
def test_servers_that_are_not_there(tree: dict[str, Any], where: str) -> None:
    assert problems(**tree) == {where: "no DNS server has the tag `x`"}


def test_others_that_are_not_there() -> None:
    assert problems(dns=dns(A, rules=[{"inbound": "x", "server": "a"}])) == {
        "dns.rules[0].inbound": "no inbound has the tag `x`"
    }
    assert problems(dns=dns({**A, "detour": "x"})) == {"dns.servers[0].detour": "no outbound has the tag `x`"}
    assert not problems(dns=dns({**A, "detour": "direct"}))


def test_tags_that_are_taken() -> None:
    assert problems(dns=dns(A, A)) == {"dns.servers[1].tag": "the tag `a` is taken by dns.servers[0]"}
    first, second = ({"type": "udp", "server": "192.0.2.1"}, {**A, "tag": "0"})
    assert problems(dns=dns(first, second)) == {"dns.servers[1].tag": "the tag `0` is taken by dns.servers[0]"}


def test_servers_that_can_not_tell() -> None:
    rules = [{"preferred_by": ["a", "h"], "server": "a"}, {"search_domain_available": "h", "server": "a"}]
    assert problems(dns=dns(A, HOSTS, rules=rules), route=DEFAULT) == {
        "dns.rules[0].preferred_by[0]": "a DNS server of type `udp` can't tell that",
        "dns.rules[1].search_domain_available": "a DNS server of type `hosts` can't tell that",
    }


def test_fake_addresses_lead_gproxy_nowhere() -> None:
    fake = {"type": "fakeip", "tag": "f"}
    assert list(problems(dns=dns(fake))) == ["dns.final"]
    assert not problems(dns=dns(fake, A, final="a"), route=DEFAULT)
    rule = {"action": "evaluate", "server": "f"}
    assert list(problems(dns=dns(A, fake, rules=[rule]), route=DEFAULT)) == ["dns.rules[0].server"]


def test_names_that_nobody_looks_up() -> None:
    several = "there are several DNS servers, and nothing says which of them finds"
    assert problems(dns=dns(A, B)) == {"dns.servers": f"{several} addresses"}
    assert problems(dns=dns(A, B), outbounds=[proxy("p", "p.test"), DIRECT]) == {
        "outbounds[0]": f"`domain_resolver` is missing: {several} `p.test`"
    }
    assert problems(dns=dns(A, B), outbounds=[proxy("p"), DIRECT]) == {
        "outbounds[1]": f"`domain_resolver` is missing: {several} the names that it is led to"
    }
    assert not problems(dns=dns(A, B), outbounds=[{**DIRECT, "domain_resolver": "b"}])
    assert not problems(dns=dns(A, B), outbounds=[proxy("p", "p.test", detour="q"), proxy("q")])


def test_a_server_s_own_name() -> None:
    named = {**A, "server": "dns.test"}
    assert problems(dns=dns(named)) == {"dns.servers[0]": "`domain_resolver` is missing: `dns.test` is a name"}
    assert not problems(dns=dns({**named, "detour": "p"}), outbounds=[proxy("p")])
    assert not problems(dns=dns({**named, "domain_resolver": "b"}, B), route={"default_domain_resolver": "b"})


@pytest.mark.parametrize(
    ("servers", "outbounds", "way"),
    [
        ([{**A, "server": "x.test", "domain_resolver": "a"}], [], "`a` needs `a` to find `x.test`"),
        (
            [{**A, "server": "x.test", "domain_resolver": "b"}, {**B, "server": "y.test", "domain_resolver": "a"}],
            [],
            "`a` needs `b` to find `x.test` → `b` needs `a` to find `y.test`",
        ),
        ([{**A, "detour": "p"}], [proxy("p", "p.test")], "`a` needs `a` to find `p.test`"),
        ([{**A, "detour": "p"}], [proxy("p", detour="q"), proxy("q", "q.test")], "`a` needs `a` to find `q.test`"),
        ([{**A, "detour": "p"}], [proxy("p", "p.test", detour="d"), DIRECT], "`a` needs `a` to find `p.test`"),
        ([{**A, "server": "x.test", "detour": "d"}], [DIRECT], "`a` needs `a` to find `x.test`"),
        (
            [{**A, "detour": "p"}, B],
            [proxy("p", "p.test", detour="q", domain_resolver="a"), proxy("q")],
            "`a` needs `a` to find `p.test`",
        ),
    ],
)
def test_servers_that_need_themselves(servers: list[dict[str, Any]], outbounds: list[dict[str, Any]], way: str) -> None:
    found = problems(dns=dns(*servers), outbounds=outbounds, route=DEFAULT)
    assert found == {"dns.servers[0]": f"DNS servers that need themselves: {way}"}


def test_chains_that_end() -> None:
    chain = [{**A, "detour": "p"}, B]
    assert not problems(dns=dns(*chain), outbounds=[proxy("p", "p.test", domain_resolver="b")], route=DEFAULT)
    assert not problems(dns=dns({**A, "detour": "d"}), outbounds=[DIRECT], route=DEFAULT)
    assert not problems(dns=dns({**A, "server": "x.test", "detour": "p"}), outbounds=[proxy("p")], route=DEFAULT)


def test_beside_a_detour_nothing_shapes_sockets() -> None:
    server = {**A, "detour": "p", "bind_interface": "eth0"}
    assert list(problems(dns=dns(server), outbounds=[proxy("p")])) == ["dns.servers[0].bind_interface"]


@pytest.mark.parametrize(
    "table",
    [5, [], {"servers": 5}, {"servers": [5, {"tag": []}]}, {"rules": [5], "final": []}, {"rules": [{"server": {}}]},
     {"servers": [{"type": [], "server": 5, "detour": [], "domain_resolver": []}]}],
)  # fmt: skip
def test_what_is_no_table_is_told_by_others(table: Any) -> None:
    problems(dns=table, route={"default_domain_resolver": {"server": []}}, outbounds=[DIRECT, {"domain_resolver": 5}])
