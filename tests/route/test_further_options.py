from __future__ import annotations

from typing import Any

import pytest

from gproxy.route.further_options import DATABASES, MEANINGLESS
from gproxy.route.options import ITEMS, Conditions
from gproxy.schema.model import fields_of
from tests.route.kit import options, problems

GOOD: dict[str, Any] = {
    "domain_wildcard": ["*.example.org"], "geosite": "example", "source_geoip": "de", "geoip": ["private", "DE"],
    "source_ip_asn": 64500, "ip_asn": ["AS64500"], "process_name": "curl", "process_path": "/usr/bin/curl",
    "process_path_regex": "^/opt/", "process_unit": "web.service", "package_name": "com.example",
    "package_name_regex": "^com", "user": "nobody", "user_id": [0, 1000], "user_group": "users", "clash_mode": "Direct",
    "network_type": ["wifi"], "network_is_expensive": True, "network_is_constrained": True, "wifi_ssid": "Home",
    "wifi_bssid": "02:00:5E:10:00:01", "interface_address": {"eth0": ["192.0.2.0/24"]},
    "network_interface_address": {"wifi": "192.0.2.0/24"}, "default_interface_address": ["192.0.2.0/24", "2001:db8::1"],
    "source_mac_address": ["02:00:5e:10:00:01"], "source_hostname": "laptop", "dscp": ["ef", 8],
    "time_of_day": ["08:00-17:30"], "weekday": ["mon", "fri"],
}  # fmt: skip


@pytest.mark.parametrize("item", GOOD)
def test_every_item_is_read(item: str) -> None:
    assert problems({item: GOOD[item], "outbound": "x"}) == []
    assert problems({"type": "logical", "mode": "or", "rules": [{item: GOOD[item]}], "outbound": "x"}) == []


def test_none_is_forgotten() -> None:
    assert GOOD.keys() <= set(ITEMS)
    assert {*MEANINGLESS, *DATABASES} <= GOOD.keys()


def test_a_zone_is_no_item() -> None:
    assert "time_zone" not in ITEMS
    assert [str(each.message) for each in problems({"time_zone": "UTC", "outbound": "x"})] == [
        "expected `time_of_day` or `weekday` beside it"
    ]
    assert problems({"time_zone": "UTC", "weekday": "mon", "outbound": "x"}) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"user_id": "root"}, {"dscp": 64}, {"weekday": "noon"}, {"time_of_day": "25:00-26:00"}, {"wifi_bssid": "x"},
        {"source_mac_address": "x"}, {"interface_address": {"eth0": "x"}}, {"interface_address": "192.0.2.0/24"},
        {"network_interface_address": {"5g": "192.0.2.0/24"}}, {"process_path_regex": "("}, {"ip_asn": 0},
        {"domain_wildcard": "example.org"}, {"geoip": ""}, {"network_type": "5g"},
    ],
    ids=lambda wrong: next(iter(wrong)),
)  # fmt: skip
def test_wrong_values_are_told_where_they_stand(wrong: dict[str, Any]) -> None:
    (found,) = problems(wrong | {"outbound": "x"})
    assert found.path[:4] == ("route", "rules", 0, *wrong)[-4:] or next(iter(wrong)) in found.path


def test_values_are_kept_as_sessions_have_them() -> None:
    (rule,) = options(GOOD | {"outbound": "x"})
    assert isinstance(rule, Conditions)
    assert (rule.geoip, rule.ip_asn, rule.dscp) == (("private", "de"), (64500,), (46, 8))
    assert rule.wifi_bssid == ("02:00:5e:10:00:01",)


def test_every_item_is_described() -> None:
    assert [name for name, field in fields_of(Conditions).items() if not field.doc.text] == []
