"""gproxy.dns.conditions: whether a question matches, before there is an answer and after it."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from gproxy.base.session import Session
from gproxy.dns.conditions import Asked, Condition, Verdict, addresses_in, compile_condition
from gproxy.route.context import Context, SetContents
from gproxy.wire.dns import types
from gproxy.wire.dns.message import Record
from gproxy.wire.dns.name import encode_name
from tests.dns.kit import FakeServer, asked, at, reply, rules

YES, NO, POSSIBLE = Verdict.YES, Verdict.NO, Verdict.POSSIBLE
SERVERS = {"a": at("192.0.2.1"), "h": at("192.0.2.2", known=("known.test",))}


def condition(context: Context | None = None, **items: Any) -> Condition:
    """Of a rule with these items."""
    said = items if "action" in items else {"server": "a", **items}
    return compile_condition(_rule(said), context or Context(), SERVERS)


def _rule(said: dict[str, Any]) -> Any:
    evaluate = [{"action": "evaluate", "server": "a"}, {"action": "evaluate", "server": "a", "tag": "x"}]
    return rules(*evaluate, said)[2]


@pytest.mark.parametrize(
    ("items", "one", "expected"),
    [
        ({}, asked(), True),
        ({"domain": "www.site.test"}, asked(), True),
        ({"domain_suffix": "other.test"}, asked(), False),
        ({"domain_suffix": "other.test", "invert": True}, asked(), True),
        ({"query_type": "AAAA"}, asked(), False),
        ({"query_type": ["AAAA", 1]}, asked(), True),
        ({"ip_version": 4}, asked(), True),
        ({"ip_version": 6}, asked(), False),
        ({"ip_version": 6}, asked(kind=types.AAAA), True),
        ({"ip_version": 4}, asked(kind=types.TXT), False),
        ({"query_dnssec": True}, asked(), False),
        ({"query_dnssec": True}, asked(dnssec=True), True),
        ({"query_client_subnet": "10.0.0.0/8"}, asked(), False),
        ({"query_client_subnet": "10.0.0.0/8"}, asked(subnet=ip_network("10.1.0.0/16")), True),
        ({"query_client_subnet": "10.0.0.0/8"}, asked(subnet=ip_network("8.0.0.0/5")), False),
        ({"query_client_subnet": "10.0.0.0/8"}, asked(subnet=ip_network("2001:db8::/32")), False),
        ({"domain_label_count": 3}, asked(), True),
        ({"domain_label_count": [1, 2]}, asked(), False),
        ({"preferred_by": "h"}, asked("known.test"), True),
        ({"preferred_by": "h"}, asked(), False),
        ({"search_domain_available": "h"}, asked(), False),
        ({"inbound": "in", "network": "udp", "source_ip_cidr": "192.0.2.0/24"}, asked(), True),
        ({"domain": "www.site.test", "query_type": "AAAA"}, asked(), False),
    ],
)
def test_items_about_the_question(items: dict[str, Any], one: Asked, *, expected: bool) -> None:
    made = condition(**items)
    assert made.matches(one) is expected
    assert made.ahead(one) is (YES if expected else NO)
    assert not made.filters()


def test_servers_that_search() -> None:
    server: FakeServer = SERVERS["h"]
    server.searching = True
    assert condition(search_domain_available="h").matches(asked())
    server.searching = False


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ({}, True),
        ({"ip_cidr": "10.0.0.0/8"}, True),
        ({"ip_cidr": "11.0.0.0/8"}, False),
        ({"ip_cidr": "11.0.0.0/8", "invert": True}, True),
        ({"ip_is_private": True}, True),
        ({"ip_accept_any": True}, True),
        ({"ip_cidr": "11.0.0.0/8", "domain": "www.site.test"}, True),
        ({"ip_cidr": "10.0.0.0/8", "query_type": "AAAA"}, False),
        ({"response_rcode": "NOERROR"}, True),
        ({"response_rcode": "NXDOMAIN"}, False),
        ({"response_answer": "www.site.test. 5 IN A 10.0.0.1"}, True),
        ({"response_answer": ["www.site.test. IN A 10.0.0.2"]}, False),
        ({"response_ns": "www.site.test. IN A 10.0.0.1"}, False),
        ({"response_extra": "www.site.test. IN A 10.0.0.1"}, False),
    ],
)
def test_items_about_an_answer_that_was_asked_for(items: dict[str, Any], *, expected: bool) -> None:
    answer = reply("www.site.test", types.A, "10.0.0.1")
    for tag, said in (("", True), ("x", "x")):
        made = condition(**items, match_response=said)
        assert made.matches(asked(answers={tag: answer})) is expected
        assert made.matches(asked(answers={tag: None})) is bool(items.get("invert"))
        assert not made.filters()


def test_an_answer_s_addresses_are_gone_afterwards() -> None:
    one = asked(answers={"": reply("www.site.test", types.A, "10.0.0.1")})
    assert condition(match_response=True, ip_is_private=True).matches(one)
    assert one.session.addresses == ()
    assert not condition(match_response=True, ip_accept_any=True).matches(
        asked(answers={"": reply("www.site.test", types.A)})
    )


@pytest.mark.parametrize(
    ("items", "ahead", "after"),
    [
        ({"ip_cidr": "10.0.0.0/8"}, POSSIBLE, (True, False)),
        ({"ip_cidr": "10.0.0.0/8", "invert": True}, POSSIBLE, (False, True)),
        ({"ip_is_private": True}, POSSIBLE, (True, False)),
        ({"ip_accept_any": True}, POSSIBLE, (True, True)),
        ({"ip_cidr": "10.0.0.0/8", "domain": "www.site.test"}, YES, (True, True)),
        ({"ip_cidr": "10.0.0.0/8", "domain": "other.test"}, NO, (True, False)),
        ({"ip_cidr": "10.0.0.0/8", "inbound": "other"}, NO, (False, False)),
        ({"ip_cidr": "10.0.0.0/8", "query_type": "AAAA"}, NO, (False, False)),
        ({"ip_cidr": "10.0.0.0/8", "query_type": "AAAA", "invert": True}, YES, (True, True)),
    ],
)
def test_a_filter_is_possible_until_there_is_an_answer(
    items: dict[str, Any], ahead: Verdict, after: tuple[bool, bool]
) -> None:
    made = condition(**items)
    assert made.filters()
    assert made.ahead(asked()) is ahead
    for ip, expected in zip(("10.0.0.1", "192.0.2.1"), after, strict=True):
        assert made.matches(asked(), reply("www.site.test", types.A, ip)) is expected


FILTER = {"ip_cidr": "10.0.0.0/8"}
HIT, MISS = {"domain": "www.site.test"}, {"domain": "other.test"}


@pytest.mark.parametrize(
    ("mode", "parts", "ahead"),
    [
        ("and", [HIT, HIT], YES),
        ("and", [HIT, MISS], NO),
        ("or", [HIT, MISS], YES),
        ("or", [MISS, MISS], NO),
        ("and", [HIT, FILTER], POSSIBLE),
        ("and", [FILTER, MISS], NO),
        ("or", [FILTER, HIT], YES),
        ("or", [FILTER, MISS], POSSIBLE),
    ],
)
def test_joined_conditions(mode: str, parts: list[dict[str, Any]], ahead: Verdict) -> None:
    made = condition(type="logical", mode=mode, rules=parts)
    assert made.ahead(asked()) is ahead
    inverted = condition(type="logical", mode=mode, rules=parts, invert=True)
    assert inverted.ahead(asked()) is {YES: NO, NO: YES, POSSIBLE: POSSIBLE}[ahead]
    private = reply("www.site.test", types.A, "10.0.0.1")
    assert made.matches(asked(), private) is (ahead is not NO)
    assert inverted.matches(asked(), private) is (ahead is NO)


@dataclass
class Set:
    """A rule set that holds 10.0.0.0/8, and the name of `name`."""

    tag: str = "set"
    name: str = ""
    addresses: bool = True

    @property
    def contents(self) -> SetContents:
        return self  # type: ignore[return-value]

    def match(self, session: Session | None = None, /, *, by_source: bool = False) -> Any:
        return self._match if session is None else self._match(session)

    def groups(self, *, by_source: bool) -> None:
        return None

    def _match(self, session: Session) -> bool:
        inside = any(ip in ip_network("10.0.0.0/8") for ip in session.addresses)
        return (self.addresses and inside) or (session.target.host == self.name)


def test_a_rule_set_that_looks_at_addresses_filters() -> None:
    context = Context(rule_sets={"set": Set()})
    made = condition(context, rule_set="set")
    assert made.filters()
    assert made.ahead(asked()) is POSSIBLE
    assert made.matches(asked(), reply("www.site.test", types.A, "10.0.0.1"))
    assert not made.matches(asked(), reply("www.site.test", types.A, "192.0.2.1"))
    assert not made.matches(asked(), reply("www.site.test", types.A))
    empty = condition(context, rule_set="set", rule_set_ip_cidr_accept_empty=True)
    assert empty.matches(asked(), reply("www.site.test", types.A))
    assert not empty.matches(asked(), reply("www.site.test", types.A, "192.0.2.1"))
    assert condition(context, rule_set="set", inbound="other").ahead(asked()) is NO


def test_a_rule_set_of_names_decides_at_once() -> None:
    names = Set(name="www.site.test", addresses=False)
    made = condition(Context(rule_sets={"set": names}), rule_set="set")
    assert not made.filters()
    assert (made.ahead(asked()), made.ahead(asked("x.test"))) == (YES, NO)
    names.addresses = True  # it was replaced
    assert made.filters()
    assert (made.ahead(asked()), made.ahead(asked("x.test"))) == (YES, POSSIBLE)


def test_a_rule_set_may_be_held_against_an_answer_or_the_client() -> None:
    context = Context(rule_sets={"set": Set()})
    answered = asked(answers={"": reply("www.site.test", types.A, "10.0.0.1")})
    made = condition(context, rule_set="set", match_response=True)
    assert not made.filters()
    assert made.matches(answered)
    assert not condition(context, rule_set="set", rule_set_ip_cidr_match_source=True).filters()


def test_hints_are_addresses_too() -> None:
    hints = b"\0\4\0\4\x0a\0\0\1" + b"\0\6\0\x10" + ip_address("2001:db8::1").packed
    answer = reply("www.site.test", types.HTTPS, b"\0\1\0" + hints, b"\0\1\0\0\4\0\3\0\0\0")
    assert addresses_in(answer) == (ip_address("10.0.0.1"), ip_address("2001:db8::1"))
    answer.rcode = types.NXDOMAIN
    assert addresses_in(answer) == ()


def test_records_are_the_same_whatever_their_ttl_and_case() -> None:
    alias = Record("www.site.test", types.CNAME, 9, encode_name("Target.TEST"))
    answer = reply("www.site.test", types.A)
    answer.answer = (alias,)
    made = condition(match_response=True, response_answer="WWW.site.test. 60 IN CNAME target.test.")
    assert made.matches(asked(answers={"": answer}))
