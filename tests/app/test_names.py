"""gproxy.app.names: who looks names up for whom."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from gproxy.app.names import Names
from gproxy.app.outbounds import build_ways
from gproxy.app.plugins import Plugins
from gproxy.base.errors import DialError
from gproxy.base.session import DEFAULT_LOOKUP, LookupOptions
from gproxy.base.wiring import NO_NAMES
from gproxy.net import resolve
from gproxy.schema.groups import Dial, DomainResolver
from gproxy.wire.dns import types
from tests.app.rooms import root_of
from tests.dns.kit import new_session, query, told

pytestmark = pytest.mark.usefixtures("no_leaks")

ONE = {"type": "hosts", "tag": "one", "predefined": {"a.test": "192.0.2.1", "only.test": "192.0.2.9"}}
TWO = {"type": "hosts", "tag": "two", "predefined": {"a.test": ["192.0.2.2", "2001:db8::2"]}}


def names_of(**config: Any) -> Names:
    return build_ways(root_of(**config), Plugins()).names


def found(names: Names, dial: Dial | None = None, domain: str = "a.test") -> list[str]:
    return [str(ip) for ip in names.lookup_for(dial or Dial())(domain, new_session())]


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    asked: list[str] = []

    def getaddrinfo(domain: str, *_: object) -> list[tuple[object, ...]]:
        asked.append(domain)
        return [(0, 0, 0, "", ("192.0.2.77", 0))]

    monkeypatch.setattr(resolve, "getaddrinfo", getaddrinfo)
    return asked


def test_without_a_table_the_system_is_asked(system: list[str]) -> None:
    names = names_of()
    assert found(names) == ["192.0.2.77"]
    assert [str(ip) for ip in names.resolve("b.test", new_session(), DEFAULT_LOOKUP)] == ["192.0.2.77"]
    assert system == ["a.test", "b.test"]
    assert (names.resolver, names.servers, names.name_of()) == (NO_NAMES, {}, None)


def test_the_only_server_is_asked(system: list[str]) -> None:
    names = names_of(dns={"servers": [ONE], "rules": [{"action": "reject"}]})
    assert found(names) == ["192.0.2.1"]
    assert system == []


def test_one_of_several_is_the_default() -> None:
    dns = {"servers": [ONE, TWO]}
    names = names_of(dns=dns, route={"default_domain_resolver": "two"})
    assert found(names) == ["192.0.2.2", "2001:db8::2"]
    said = {"server": "two", "strategy": "ipv6_only"}
    assert found(names_of(dns=dns, route={"default_domain_resolver": said})) == ["2001:db8::2"]


def test_an_outbound_may_have_its_own() -> None:
    names = names_of(dns={"servers": [ONE, TWO]}, route={"default_domain_resolver": "two"})
    assert found(names, Dial(domain_resolver="one")) == ["192.0.2.1"]
    table = DomainResolver(server="two", strategy="prefer_ipv6")
    assert found(names, Dial(domain_resolver=table)) == ["2001:db8::2", "192.0.2.2"]


def test_an_action_may_name_a_server_or_leave_it_to_the_rules() -> None:
    names = names_of(
        dns={"servers": [ONE, TWO], "rules": [{"domain": "a.test", "server": "two"}]},
        route={"default_domain_resolver": "one"},
    )
    session = new_session()
    assert [str(ip) for ip in names.resolve("a.test", session, LookupOptions(server="one"))] == ["192.0.2.1"]
    assert [str(ip) for ip in names.resolve("a.test", session, DEFAULT_LOOKUP)] == ["192.0.2.2", "2001:db8::2"]


def test_the_final_server_is_the_first_one_or_another() -> None:
    for final, expected in (("", "192.0.2.1"), ("two", "192.0.2.2")):
        names = names_of(dns={"servers": [ONE, TWO], "final": final}, route={"default_domain_resolver": "one"})
        assert told(names.resolver.exchange(query("a.test"), new_session())) == ("NOERROR", [expected])


@pytest.mark.parametrize(
    "config",
    [
        {"inbounds": [{"type": "dns", "listen_port": 5353}]},
        {"route": {"rules": [{"port": 53, "action": "hijack-dns"}]}},
        {"dns": {}},
    ],
)
def test_clients_may_ask_though_nothing_is_said(config: dict[str, Any]) -> None:
    names = names_of(**config)
    assert list(names.servers) == ["local"]
    assert names.dns is names.resolver


def test_who_keeps_answers() -> None:
    assert names_of(dns={"servers": [ONE], "reverse_mapping": True}).name_of() is not None
    assert names_of(dns={"servers": [ONE]}).name_of() is None
    assert names_of(dns={"servers": [ONE]}).resolver.alike("in")
    assert not names_of(
        dns={"servers": [ONE], "rules": [{"source_ip_cidr": "10.0.0.0/8", "server": "one"}]}
    ).resolver.alike("in")


def test_what_has_no_effect_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        names_of(dns={"servers": [ONE], "independent_cache": True})
    assert "`dns.independent_cache` has no effect" in caplog.text


def test_servers_are_closed_with_their_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    names = names_of(dns={"servers": [ONE, {"type": "udp", "tag": "u", "server": "192.0.2.1"}]},
                     route={"default_domain_resolver": "one"})  # fmt: skip
    closed: list[str] = []
    for tag, server in names.servers.items():
        monkeypatch.setattr(type(server), "close", lambda each, tag=tag: closed.append(tag))
    names.close()
    assert closed == ["one", "u"]


def test_a_server_may_be_found_by_another() -> None:
    named = {"type": "udp", "tag": "u", "server": "only.test", "domain_resolver": "one"}
    names = names_of(dns={"servers": [ONE, named]}, route={"default_domain_resolver": "one"})
    lookup = names.lookup_for(Dial(domain_resolver="one"))
    assert [str(ip) for ip in lookup("only.test", new_session())] == ["192.0.2.9"]
    with pytest.raises(DialError, match="no such name"):
        lookup("other.test", new_session())


def test_beside_a_detour_names_are_found_here() -> None:
    ways = build_ways(
        root_of(
            dns={"servers": [ONE]},
            outbounds=[
                {"type": "direct", "tag": "d", "detour": "b", "domain_resolver": "one"},
                {"type": "direct", "tag": "b"},
            ],
        ),
        Plugins(),
    )
    with pytest.raises(DialError, match=f"no such name, says DNS server `one`|{types.NXDOMAIN}"):
        ways.by_tag["d"].dial(new_session().target, new_session())
