"""gproxy.dns.options: what may be said about names."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from gproxy.dns.options import OPTIMISTIC, QueryType, RecordText, ResponseCode, looks_at_clients, tags_of
from gproxy.schema.problem import BadValue
from gproxy.wire.dns import types
from tests.dns.kit import options, problems, rules


def test_types_have_names_and_numbers() -> None:
    assert [QueryType.parse(each) for each in ("A", "https", "TYPE257", 28, "15")] == [1, 65, 257, 28, 15]
    assert str(QueryType.parse(28)) == "AAAA"
    for bad in ("FOO", -1, 65536, 1.5, True):
        with pytest.raises(BadValue):
            QueryType.parse(bad)


def test_codes_have_names_and_numbers() -> None:
    assert [ResponseCode.parse(each) for each in ("NXDOMAIN", "refused", 2)] == [3, 5, 2]
    assert str(ResponseCode.parse(3)) == "NXDOMAIN"
    for bad in ("NOPE", -1, 4096, None):
        with pytest.raises(BadValue):
            ResponseCode.parse(bad)


def test_records_are_text_or_base64() -> None:
    record = RecordText.parse("Site.test. 60 IN A 192.0.2.1").record
    assert record == ("site.test", types.A, 60, b"\xc0\0\2\1", 1)
    assert RecordText.parse("BHNpdGUEdGVzdAAAAQABAAAAPAAEwAACAQ==").record == record
    for bad in ("site.test. IN A 192.0.2.1 5", "", "AAAA", 5):
        with pytest.raises(BadValue):
            RecordText.parse(bad)


def test_a_table_has_the_values_of_sing_box() -> None:
    said = options()
    assert (said.wait(), said.stale(), said.strategy) == (10.0, 0.0, "")
    assert options(optimistic=True).stale() == OPTIMISTIC
    assert options(optimistic={"enabled": True, "timeout": "1h"}).stale() == 3600
    assert options(optimistic={"timeout": "1h"}).stale() == 0
    assert options(timeout="0s").wait() == 10.0
    assert options(client_subnet="192.0.2.1").client_subnet == ip_network("192.0.2.1/32")


@pytest.mark.parametrize(
    ("table", "where", "what"),
    [
        ({"optimistic": True, "disable_cache": True}, "optimistic", "contradicts `disable_cache`"),
        ({"prefetch": True, "disable_expire": True}, "prefetch", "contradicts `disable_expire`"),
        ({"fakeip": {}}, "fakeip", "is no key any more"),
        ({"cache_capacity": -1}, "cache_capacity", "expected 0 to"),
    ],
)
def test_what_contradicts_itself_is_refused(table: dict[str, Any], where: str, what: str) -> None:
    [(path, message)] = problems(table)
    assert path == where
    assert what in message


@pytest.mark.parametrize(
    ("rule", "where", "what"),
    [
        ({"domain": "a.test"}, "", "`server` is missing"),
        ({"domain": "a.test", "outbound": "any", "server": "a"}, "outbound", "is no key any more"),
        ({"action": "respond", "server": "a", "match_response": True}, "server", "belongs to action `route` or"),
        ({"action": "reject", "rewrite_ttl": 0}, "rewrite_ttl", "belongs to action"),
        ({"action": "reject", "method": "drop", "no_drop": True}, "no_drop", "contradicts"),
        ({"action": "route-options"}, "action", "expected an option beside it"),
        ({"action": "evaluate"}, "", "`server` is missing"),
        ({"action": "bypass"}, "action", "expected one of"),
        ({"server": "a", "client_subnet": "192.0.2.0/24", "remove_client_subnet": True}, "remove_client_subnet", ""),
        ({"server": "a", "rewrite_ttl": 2**31}, "rewrite_ttl", "expected 0 to"),
        ({"server": "a", "response_rcode": "NOERROR"}, "response_rcode", "looks at an answer"),
        ({"server": "a", "match_response": ""}, "match_response", "expected `true`"),
        ({"ip_cidr": "10.0.0.0/8", "action": "reject"}, "action", "does not ask for the answer"),
        ({"server": "a", "race": True}, "race", "expected `match_response` beside it"),
        ({"server": "a", "invert": True}, "invert", "expected a condition"),
        ({"type": "logical", "mode": "and", "rules": [], "server": "a"}, "rules", "at least one"),
        ({"type": "logical", "mode": "and", "rules": [{"domain": "a.test", "server": "a"}], "server": "a"},
         "rules.0.server", "no action of its own"),
        ({"type": "logical", "mode": "and", "rules": [{}], "server": "a"}, "rules.0", "expected a condition"),
        ({"type": "other", "server": "a"}, "type", "expected `default` or `logical`"),
    ],
)  # fmt: skip
def test_a_wrong_rule_is_refused(rule: dict[str, Any], where: str, what: str) -> None:
    found = problems({"rules": [rule]})
    path = ".".join(part for part in ("rules.0", where) if part)
    assert any(at == path and what in message for at, message in found), found


def test_a_rule_may_look_only_at_answers_that_were_asked_for() -> None:
    respond = {"match_response": True, "action": "respond"}
    assert "without a tag" in problems({"rules": [respond]})[0][1]
    assert "without a tag" in problems({"rules": [{"action": "respond"}]})[0][1]
    tagged = {"action": "evaluate", "server": "a", "tag": "x"}
    assert "without a tag" in problems({"rules": [tagged, respond]})[0][1]
    assert "with the tag `y`" in problems({"rules": [tagged, {**respond, "match_response": "y"}]})[0][1]
    assert "taken" in problems({"rules": [tagged, tagged]})[0][1]
    assert not problems({"rules": [tagged, {**respond, "match_response": "x"}]})
    assert not problems({"rules": [{"action": "evaluate", "server": "a"}, {"action": "respond"}]})


def test_a_logical_rule_gives_no_answer_by_a_tag() -> None:
    evaluate = {"action": "evaluate", "server": "a", "tag": "x"}
    nested = [{"match_response": "x", "ip_cidr": "10.0.0.0/8"}]
    logical = {"type": "logical", "mode": "or", "rules": nested, "action": "respond"}
    assert any("which answer is meant" in message for _, message in problems({"rules": [evaluate, logical]}))
    [_, rule] = rules(evaluate, {**logical, "action": "reject"})
    assert list(tags_of(rule)) == ["x"]


def test_some_rules_look_at_who_asks() -> None:
    alike = rules({"inbound": "in", "domain": "a.test", "query_type": "A", "server": "a"}, {"server": "a"})
    assert not any(map(looks_at_clients, alike))
    [one] = rules({"type": "logical", "mode": "or", "rules": [{"source_ip_cidr": "10.0.0.0/8"}], "server": "a"})
    assert looks_at_clients(one)
    assert looks_at_clients(rules({"auth_user": "me", "server": "a"})[0])
