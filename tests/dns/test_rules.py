"""gproxy.dns.rules: the walk."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

import pytest

from gproxy.base.errors import Rejected
from gproxy.base.session import DEFAULT_LOOKUP, LookupOptions
from gproxy.dns.conditions import Asked
from gproxy.dns.rules import Change, Launch, Predefined, Refuse, Respond, Route, Rules, Wait
from gproxy.route.context import NO_CONTEXT
from gproxy.wire.dns import types
from gproxy.wire.dns.message import Message, Question, Record
from tests.dns.kit import asked, at, reply, rules

SERVERS = {tag: at("192.0.2.1") for tag in ("a", "b", "c", "fake")}


class Later:
    """See Future."""

    def __init__(self, server: str) -> None:
        self.server = server
        self.done = False
        self.answer: Message | None = None

    def get(self, answer: Message | None) -> None:
        self.done = True
        self.answer = answer


class Walk:
    """A walk, step by step."""

    def __init__(self, *said: Mapping[str, Any], one: Asked | None = None, internal: bool = False) -> None:
        made = Rules(rules(*said), SERVERS, NO_CONTEXT, frozenset({"fake"}))
        self._walk = made.walk(one or asked(), DEFAULT_LOOKUP, internal=internal)
        self.launched: list[Later] = []
        self.step: Any = next(self._walk)
        self._take()

    def _take(self) -> None:
        while isinstance(self.step, Launch):
            later = Later(self.step.server)
            self.launched.append(later)
            self.step = self._walk.send(later)

    def go_on(self) -> Any:
        self.step = self._walk.send(None)
        self._take()
        return self.step


def private(ip: str = "10.0.0.1") -> Message:
    return reply("www.site.test", types.A, ip)


def test_without_a_match_the_final_server_is_asked() -> None:
    step = Walk({"domain": "other.test", "server": "a"}).step
    assert step == Route("", DEFAULT_LOOKUP, "final")


def test_the_first_match_decides() -> None:
    step = Walk({"domain": "other.test", "server": "a"}, {"query_type": "A", "server": "b"}, {"server": "c"}).step
    assert (step.server, step.name) == ("b", "dns.rule[1] query_type=A => route(b)")


def test_options_add_up() -> None:
    step = Walk(
        {"action": "route-options", "rewrite_ttl": 5, "client_subnet": "192.0.2.0/24", "timeout": "1s"},
        {"action": "route-options", "disable_cache": True, "remove_client_subnet": True},
        {"server": "a", "timeout": "2s", "strategy": "ipv4_only"},
    ).step
    assert step.how == LookupOptions(
        strategy="ipv4_only", timeout=2.0, disable_cache=True, rewrite_ttl=5, remove_client_subnet=True
    )


def test_what_says_nothing_changes_nothing() -> None:
    before = LookupOptions(timeout=3.0)
    assert Change(DEFAULT_LOOKUP).apply(before) is before
    assert Change(DEFAULT_LOOKUP).apply(DEFAULT_LOOKUP) is DEFAULT_LOOKUP
    subnet = ip_network("192.0.2.0/24")
    changed = Change(LookupOptions(client_subnet=subnet)).apply(LookupOptions(remove_client_subnet=True))
    assert (changed.client_subnet, changed.remove_client_subnet) == (subnet, False)


def test_refusals() -> None:
    step = Walk({"action": "reject"}).step
    assert isinstance(step, Refuse)
    assert not step.error().drop
    assert Walk({"action": "reject", "method": "drop"}).step.error().drop
    errors: list[Rejected] = [step.error() for _ in range(60)]
    assert [error.drop for error in errors] == [False] * 49 + [True] * 11
    kept = Walk({"action": "reject", "no_drop": True}).step
    assert not any(kept.error().drop for _ in range(60))


def test_predefined_answers() -> None:
    step = Walk(
        {"action": "predefined", "rcode": "NXDOMAIN", "answer": ["*.site.test. IN A 192.0.2.9"], "ns": "test. IN NS n.",
         "extra": ["*.other.test. IN A 192.0.2.8"]}
    ).step  # fmt: skip
    assert isinstance(step, Predefined)
    message = step.message(Question("www.site.test", types.A))
    assert (message.rcode, message.response, message.authoritative) == (types.NXDOMAIN, True, True)
    assert message.answer == (Record("www.site.test", types.A, 3600, b"\xc0\0\2\x09"),)
    assert [record.name for record in message.additional] == ["*.other.test"]


def test_a_filter_that_rejects_lets_the_walk_go_on() -> None:
    walk = Walk({"ip_cidr": "10.0.0.0/8", "server": "a"}, {"server": "b"})
    step = walk.step
    assert (step.server, step.rule.accepts(asked(), private())) == ("a", True)
    assert not step.rule.accepts(asked(), private("192.0.2.1"))
    assert not step.rule.accepts(asked(), reply("www.site.test", types.A, rcode=types.SERVFAIL))
    assert walk.go_on().server == "b"


@pytest.mark.parametrize(("kind", "server"), [(types.A, "a"), (types.AAAA, "a"), (types.HTTPS, "a"), (types.TXT, "b")])
def test_filters_are_for_questions_for_addresses(kind: int, server: str) -> None:
    said = ({"ip_cidr": "10.0.0.0/8", "server": "a"}, {"server": "b"})
    assert Walk(*said, one=asked(kind=kind)).step.server == server


def test_gproxy_itself_gets_no_fake_addresses() -> None:
    said = ({"server": "fake"}, {"server": "b"})
    assert Walk(*said).step.server == "fake"
    assert Walk(*said, internal=True).step.server == "b"


def test_an_answer_is_waited_for_by_who_looks_at_it() -> None:
    walk = Walk({"action": "evaluate", "server": "a"}, {"match_response": True, "ip_is_private": True, "server": "b"})
    [later] = walk.launched
    assert walk.step == Wait((later,))
    later.get(private())
    assert walk.go_on().server == "b"


def test_an_answer_that_does_not_match() -> None:
    walk = Walk({"action": "evaluate", "server": "a"}, {"match_response": True, "ip_is_private": True, "server": "b"})
    walk.launched[0].get(None)
    assert walk.go_on().name == "final"


def test_several_are_asked_at_the_same_time() -> None:
    walk = Walk(
        {"action": "evaluate", "server": "a", "tag": "x"},
        {"action": "evaluate", "server": "b", "tag": "y"},
        {"match_response": "y", "ip_is_private": True, "action": "respond"},
        {"match_response": "x", "ip_is_private": True, "action": "respond"},
    )
    one, other = walk.launched
    assert (one.server, other.server, walk.step) == ("a", "b", Wait((other,)))
    other.get(private("192.0.2.1"))
    assert walk.go_on() == Wait((one,))
    one.get(private())
    step = walk.go_on()
    assert isinstance(step, Respond)
    assert step.future is one


def test_respond_waits_for_the_last_answer_without_a_tag() -> None:
    walk = Walk({"action": "evaluate", "server": "a"}, {"action": "evaluate", "server": "b"}, {"action": "respond"})
    first, last = walk.launched
    assert walk.step == Wait((last,))
    last.get(private())
    assert walk.go_on().future is last
    assert not first.done


def test_respond_without_an_answer() -> None:
    walk = Walk({"query_type": "AAAA", "action": "evaluate", "server": "a"}, {"action": "respond"})
    assert walk.step.future is None


RACE = (
    {"action": "evaluate", "server": "a", "tag": "x"},
    {"match_response": "x", "ip_is_private": True, "race": True, "action": "respond"},
)


def test_a_race_is_won_by_who_comes_to_match() -> None:
    walk = Walk(*RACE, {"action": "evaluate", "server": "b", "speculative": True}, {"action": "respond"})
    one, other = walk.launched
    assert walk.step == Wait((other, one))
    one.get(private())
    assert walk.go_on().future is one
    assert not other.done


def test_a_race_that_is_lost() -> None:
    walk = Walk(*RACE, {"action": "evaluate", "server": "b", "speculative": True}, {"action": "respond"})
    one, other = walk.launched
    one.get(None)
    assert walk.go_on() == Wait((other,))
    other.get(private())
    assert walk.go_on().future is other


def test_nobody_else_is_asked_while_a_race_is_open() -> None:
    walk = Walk(*RACE, {"server": "c"})
    [one] = walk.launched
    assert walk.step == Wait((one,))
    one.get(None)
    step = walk.go_on()
    assert (step.server, step.future) == ("c", None)


def test_unless_that_is_speculative() -> None:
    walk = Walk(*RACE, {"server": "c", "speculative": True})
    one, other = walk.launched
    assert (other.server, walk.step) == ("c", Wait((one,)))
    one.get(None)
    step = walk.go_on()
    assert (step.server, step.future) == ("c", other)


def test_a_race_over_what_is_there_already_is_none() -> None:
    walk = Walk(RACE[0], {"match_response": "x", "ip_cidr": "11.0.0.0/8", "server": "b"}, RACE[1], {"server": "c"})
    walk.launched[0].get(private())
    assert isinstance(walk.go_on(), Respond)
