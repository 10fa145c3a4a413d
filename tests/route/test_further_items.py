from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from gproxy.base import clock
from gproxy.base.errors import ConfigError
from gproxy.base.session import Owner, Session
from gproxy.route.compile import condition
from gproxy.route.context import Context, Mode
from gproxy.route.further_items import machine_parts
from gproxy.route.further_options import MEANINGLESS
from gproxy.route.headless import HeadlessRule, read_rules
from gproxy.route.surroundings import Surroundings
from gproxy.wire.netlink import Wifi
from tests.route.kit import options, session
from tests.route.test_further_options import GOOD

CURL = Owner("/usr/bin/curl", 1000, "alice", "web.service", ("users", "wheel"))
UNKNOWN = Owner(user_id=1001)


def in_germany(codes: Any) -> Any:
    return lambda ip: "de" in codes and ip in ip_network("192.0.2.0/24")


def new_context() -> Context:
    """A world in which something is known of everything."""
    context = Context(
        mode=Mode("direct"),
        countries=in_germany,
        asns=lambda: lambda ip: 64500 if ip == ip_address("192.0.2.7") else 0,
        sites=lambda codes: iter([("geosite", lambda one: one.target.host in codes)]),
    )
    context.facts.watch.now = Surroundings(
        {"eth0": [ip_network("192.0.2.0/24"), ip_network("2001:db8::/64")], "lo": [ip_network("127.0.0.0/8")]},
        "eth0",
        (Wifi("Home", "02:00:5e:10:00:01"),),
    )
    return context


def matches(rule: Mapping[str, Any], one: Session, context: Context | None = None) -> bool:
    (read,) = options({"outbound": "x"} | dict(rule))
    return condition(read, context or new_context())(one)


def client(**facts: Any) -> Session:
    one = session("192.0.2.7", source="198.51.100.1")
    for name, value in facts.items():
        setattr(one, name, value)
    return one


@pytest.mark.parametrize(
    ("rule", "facts", "wanted"),
    [
        ({"process_name": ["curl"]}, {"owner": CURL}, True),
        ({"process_name": ["wget"]}, {"owner": CURL}, False),
        ({"process_name": ["usr/bin/curl"]}, {"owner": CURL}, False),
        ({"process_name": "curl"}, {}, False),
        ({"process_path": "/usr/bin/curl"}, {"owner": CURL}, True),
        ({"process_path": "curl"}, {"owner": CURL}, False),
        ({"process_path_regex": ["^/opt", "bin/c"]}, {"owner": CURL}, True),
        ({"process_path_regex": ".*"}, {"owner": UNKNOWN}, False),
        ({"process_path_regex": ".*"}, {}, False),
        ({"process_unit": "web.service"}, {"owner": CURL}, True),
        ({"process_unit": "db.service"}, {"owner": CURL}, False),
        ({"user": "alice"}, {"owner": CURL}, True),
        ({"user": "bob"}, {"owner": CURL}, False),
        ({"user": "alice"}, {}, False),
        ({"user_id": [0, 1001]}, {"owner": UNKNOWN}, True),
        ({"user_id": [0]}, {"owner": UNKNOWN}, False),
        ({"user_group": ["root", "wheel"]}, {"owner": CURL}, True),
        ({"user_group": ["root"]}, {"owner": CURL}, False),
        ({"user_group": ["root"]}, {}, False),
        ({"source_mac_address": "02-00-5E-10-00-01"}, {"source_mac": "02:00:5e:10:00:01"}, True),
        ({"source_mac_address": "02:00:5e:10:00:01"}, {}, False),
        ({"source_hostname": "Laptop"}, {"source_hostname": "laptop"}, True),
        ({"source_hostname": "laptop"}, {}, False),
        ({"dscp": ["ef", 8]}, {"dscp": 46}, True),
        ({"dscp": ["ef", 8]}, {"dscp": 0}, False),
        ({"dscp": 0}, {}, True),
        ({"clash_mode": "Direct"}, {}, True),
        ({"clash_mode": "rule"}, {}, False),
        ({"wifi_ssid": ["Work", "Home"]}, {}, True),
        ({"wifi_ssid": "home"}, {}, False),
        ({"wifi_bssid": "02:00:5E:10:00:01"}, {}, True),
        ({"wifi_bssid": "02:00:5e:10:00:02"}, {}, False),
        ({"interface_address": {"eth0": "192.0.2.0/25"}}, {}, True),
        ({"interface_address": {"eth0": ["10.0.0.0/8", "2001:db8::/32"]}}, {}, True),
        ({"interface_address": {"eth0": "192.0.2.0/24", "lo": "10.0.0.0/8"}}, {}, False),
        ({"interface_address": {"eth1": "192.0.2.0/24"}}, {}, False),
        ({"default_interface_address": ["192.0.2.128"]}, {}, True),
        ({"default_interface_address": ["192.0.2.0/24", "2001:db8::/32"]}, {}, True),
        ({"default_interface_address": ["192.0.2.0/24", "10.0.0.0/8"]}, {}, False),
        ({"geoip": "de"}, {}, True),
        ({"geoip": "fr"}, {}, False),
        ({"geoip": "private"}, {}, False),
        ({"source_geoip": "de"}, {}, False),
        ({"ip_asn": [1, 64500]}, {}, True),
        ({"ip_asn": [1]}, {}, False),
        ({"source_ip_asn": 64500}, {}, False),
        ({"geosite": "example"}, {}, False),
        ({"domain_wildcard": "192.*"}, {}, False),
    ],
    ids=str,
)
def test_each_item_looks_at_its_fact(rule: Mapping[str, Any], facts: Mapping[str, Any], wanted: bool) -> None:
    assert matches(rule, client(**facts)) is wanted
    assert matches({**rule, "invert": True}, client(**facts)) is not wanted


def test_without_wifi_and_without_a_default_route_nothing_matches() -> None:
    context = new_context()
    context.facts.watch.now = Surroundings({"eth0": [ip_network("192.0.2.0/24")]})
    assert not matches({"wifi_ssid": "Home"}, client(), context)
    assert not matches({"default_interface_address": "192.0.2.0/24"}, client(), context)


def test_what_changes_in_the_surroundings_is_noticed() -> None:
    context = new_context()
    read = options(
        {"interface_address": {"eth0": "192.0.2.0/24"}, "default_interface_address": "192.0.2.0/24", "outbound": "x"}
    )
    match = condition(read[0], context)
    assert match(client())
    context.facts.watch.now = Surroundings({"eth0": [ip_network("10.0.0.0/8")]}, "eth0")
    assert not match(client())
    context.facts.watch.now = Surroundings({"eth0": [ip_network("192.0.2.0/24")]}, "eth0")
    assert match(client())


def test_items_about_addresses_look_at_those_that_a_name_was_resolved_to() -> None:
    named = session("www.example.org", addresses=("203.0.113.1", "192.0.2.7"), source="10.1.2.3")
    assert matches({"geoip": "de"}, named)
    assert matches({"ip_asn": 64500}, named)
    assert matches({"source_geoip": "private"}, named)
    assert not matches({"geoip": "private"}, named)
    assert not matches({"geoip": "de"}, session("www.example.org"))


def test_items_about_names() -> None:
    assert matches({"domain_wildcard": ["*.org"]}, session("www.example.org"))
    assert matches({"domain_wildcard": ["*.org"]}, session("192.0.2.1", sniffed="www.example.org"))
    assert not matches({"domain_wildcard": ["*.com"]}, session("www.example.org"))
    assert matches({"geosite": "www.example.org"}, session("www.example.org"))


def test_those_about_target_and_source_are_alternatives_to_the_others_of_their_kind() -> None:
    assert matches({"geoip": "de", "domain": "other.test", "ip_cidr": "10.0.0.0/8"}, client())
    assert matches({"source_geoip": "de", "source_ip_cidr": "198.51.100.0/24"}, client())
    assert not matches({"geoip": "de", "source_geoip": "de"}, client())
    assert not matches({"geoip": "de", "user": "alice"}, client())


def at(*when: int) -> float:
    return datetime(*when, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("rule", "when", "wanted"),
    [
        ({"time_of_day": "22:00-06:00", "time_zone": "UTC"}, at(2026, 11, 21, 23, 0), True),
        ({"time_of_day": "22:00-06:00", "time_zone": "UTC"}, at(2026, 11, 21, 6, 0), False),
        ({"time_of_day": "22:00-06:00", "time_zone": "Europe/Berlin"}, at(2026, 11, 21, 21, 30), True),
        ({"weekday": ["sat", "sun"], "time_zone": "UTC"}, at(2026, 11, 21, 12, 0), True),
        ({"weekday": ["mon"], "time_zone": "UTC"}, at(2026, 11, 21, 12, 0), False),
        ({"weekday": "sat", "time_of_day": "08:00-12:00", "time_zone": "UTC"}, at(2026, 11, 21, 12, 0), False),
    ],
    ids=str,
)
def test_time(rule: Mapping[str, Any], when: float, wanted: bool) -> None:
    clock.wall.hold(lambda: when)
    try:
        assert matches(rule, client()) is wanted
    finally:
        clock.wall.release()


@pytest.mark.parametrize("item", MEANINGLESS)
def test_what_has_no_meaning_here_never_matches(item: str) -> None:
    assert not matches({item: GOOD[item]}, client(owner=CURL))
    assert matches({item: GOOD[item], "invert": True}, client(owner=CURL))


@pytest.mark.parametrize(
    ("rule", "needed"),
    [
        ({"domain": "x.test"}, []),
        *(({item: GOOD[item]}, ["owner"]) for item in (
            "process_name", "process_path", "process_path_regex", "process_unit", "user", "user_id", "user_group",
        )),
        ({"source_mac_address": GOOD["source_mac_address"]}, ["mac"]),
        ({"source_hostname": "x"}, ["hostname"]),
        ({"dscp": 1}, ["dscp"]),
        ({"wifi_ssid": "x"}, ["wifi"]),
        ({"wifi_bssid": GOOD["wifi_bssid"]}, ["wifi"]),
        ({"interface_address": GOOD["interface_address"]}, ["surroundings"]),
        ({"default_interface_address": "192.0.2.1"}, ["surroundings"]),
        ({"type": "logical", "mode": "or", "rules": [{"user": "x"}, {"dscp": 1}]}, ["owner", "dscp"]),
    ],
    ids=str,
)  # fmt: skip
def test_a_rule_says_what_it_needs(rule: Mapping[str, Any], needed: list[str]) -> None:
    context = new_context()
    matches(rule, client(), context)
    needs = context.facts.needs
    assert {
        name for name in ("owner", "mac", "hostname", "dscp", "wifi", "surroundings") if getattr(needs, name)
    } == set(needed)
    assert needs.some is bool(set(needed) - {"dscp"})


@pytest.mark.parametrize("rule", [{"geoip": "de"}, {"source_ip_asn": 1}, {"geosite": "x"}])
def test_without_a_database_a_rule_is_not_compiled(rule: Mapping[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"need"):
        matches(rule, client(), Context())


def test_rule_sets_have_some_of_these_items_too() -> None:
    context = new_context()
    (rule,) = read_rules([
        {"process_name": "curl", "wifi_ssid": "Home", "default_interface_address": "192.0.2.5/24",
         "network_type": "wifi"}
    ])  # fmt: skip
    assert isinstance(rule, HeadlessRule)
    parts = dict(machine_parts(rule, context))
    assert {name: match(client(owner=CURL)) for name, match in parts.items()} == {
        "process_name": True, "wifi_ssid": True, "default_interface_address": True, "network_type": False,
    }  # fmt: skip
    assert context.facts.needs.owner
    assert context.facts.needs.wifi
