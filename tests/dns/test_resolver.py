"""gproxy.dns.resolver: what a client gets, and what gproxy itself finds."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from gproxy.base.errors import DialError, Rejected
from gproxy.base.iface import Soon
from gproxy.base.session import LookupOptions, Sniffed
from gproxy.route.context import Context
from gproxy.rt.group import Group
from gproxy.wire.dns import types
from gproxy.wire.dns.message import AUTHENTIC, Edns, Message, make_query, parse
from gproxy.wire.dns.subnet import subnet_of, with_subnet
from tests.dns.kit import FakeServer, PromptServer, at, failing, new_session, query, reply, resolver, told

pytestmark = pytest.mark.usefixtures("no_leaks")

NX = FakeServer(lambda name, kind: reply(name, kind, rcode=types.NXDOMAIN))


def ask(names: object, message: bytes) -> bytes:
    return names.exchange(message, new_session())  # type: ignore[attr-defined, no-any-return]


# -- clients ----------------------------------------------------------------------------------------------------------


def test_a_client_gets_the_answer() -> None:
    names = resolver({"a": at("192.0.2.1", "2001:db8::1")})
    assert told(ask(names, query("www.site.test"))) == ("NOERROR", ["192.0.2.1"])
    assert told(ask(names, query("www.site.test", types.AAAA))) == ("NOERROR", ["2001:db8::1"])
    assert told(ask(names, query("www.site.test", types.TXT))) == ("NOERROR", [])


def test_the_answer_is_for_just_this_query() -> None:
    names = resolver({"a": at("192.0.2.1")})
    asked = query("www.site.test", number=0x1234, recursion_desired=False, checking_disabled=True)
    mixed = asked.replace(b"site", b"SiTe")
    answer = ask(names, mixed)
    message = parse(answer)
    assert answer[12 : 12 + len(mixed) - 12] == mixed[12:]
    assert (message.id, message.recursion_desired, message.recursion_available) == (0x1234, False, False)
    assert (message.checking_disabled, message.edns) == (True, None)


def test_edns_is_between_each_two() -> None:
    server = FakeServer(lambda name, kind: _with_edns(reply(name, kind, "192.0.2.1")))
    names = resolver({"a": server})
    assert parse(ask(names, query("www.site.test"))).edns is None
    answer = parse(ask(names, query("www.site.test", edns=Edns(4096, do=True, options=((10, bytes(8)),)))))
    assert answer.edns == Edns(1232, do=True)
    assert parse(server.asked[-1].message).edns == Edns(1232, do=True)


def _with_edns(message: Message) -> Message:
    message.edns = Edns(512, options=((3, b"somebody"),))
    message.authentic = True
    return message


@pytest.mark.parametrize(
    ("edns", "authentic", "expected"),
    [(None, False, False), (None, True, True), (Edns(do=True), False, True), (Edns(), False, False)],
)
def test_whether_it_is_authentic_is_told_to_who_asks(edns: Edns | None, *, authentic: bool, expected: bool) -> None:
    names = resolver({"a": FakeServer(lambda name, kind: _with_edns(reply(name, kind, "192.0.2.1")))})
    for _ in range(2):  # from the server, and from the cache
        answer = ask(names, query("www.site.test", edns=edns, authentic=authentic))
        assert (int.from_bytes(answer[2:4], "big") & AUTHENTIC != 0) is expected


def test_a_client_s_subnet_comes_back() -> None:
    server = at("192.0.2.1")
    names = resolver({"a": server})
    answer = parse(ask(names, query("www.site.test", edns=with_subnet(None, ip_network("198.51.100.0/24")))))
    subnet = subnet_of(answer.edns)
    assert subnet is not None
    assert (str(subnet.network), subnet.scope) == ("198.51.100.0/24", 24)
    assert subnet_of(parse(server.asked[0].message).edns) is not None


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"", b""),
        (b"\0\7garbage", b""),
        (query("www.site.test")[:-1], "FORMERR"),
        (query("www.site.test") + b"\0", "FORMERR"),
        (b"\0\7\1\0\0\2\0\0\0\0\0\0" + query("a.test")[12:] * 2, "FORMERR"),
        (b"\0\7\1\0\0\0\0\0\0\0\0\0", "FORMERR"),
        (b"\0\7\x81\0" + query("a.test")[4:], b""),
        (b"\0\7\x28\0" + query("a.test")[4:], "NOTIMP"),
        (query("a.test", edns=Edns(version=1)), "BADVERS"),
        (query("a.test", types.AXFR), "REFUSED"),
        (query("a.test", types.OPT), "REFUSED"),
        (b"\0\7" + make_query("version.bind", types.TXT, cls=3)[2:], "REFUSED"),
        (query("a.test", edns=Edns(options=((8, b"\0\1\x20"),))), "FORMERR"),
    ],
)
def test_what_nobody_can_answer(message: bytes, expected: bytes | str) -> None:
    server = at("192.0.2.1")
    names = resolver({"a": server})
    for answer in (ask(names, message), names.begin(message, new_session())):
        assert isinstance(answer, bytes)
        assert (types.rcode_name(parse(answer).rcode) if answer else b"") == expected
    assert not server.asked


def test_failures_are_told() -> None:
    names = resolver({"a": failing(), "nx": NX}, rules=[{"domain": "nx.test", "server": "nx"}])
    assert told(ask(names, query("www.site.test"))) == ("SERVFAIL", [])
    assert told(ask(names, query("nx.test"))) == ("NXDOMAIN", [])


def test_refusals() -> None:
    names = resolver(
        {"a": at("192.0.2.1")},
        rules=[
            {"domain": "no.test", "action": "reject"},
            {"domain": "hush.test", "action": "reject", "method": "drop"},
        ],
    )
    assert told(ask(names, query("no.test"))) == ("REFUSED", [])
    assert ask(names, query("hush.test")) == b""
    assert names.begin(query("hush.test"), new_session()) == b""


def test_predefined_answers_are_each_client_s_own() -> None:
    names = resolver(
        {"a": at("192.0.2.1")},
        rules=[{"action": "predefined", "answer": ["*.site.test. 5 IN A 192.0.2.9", "x.test. 9 IN A 192.0.2.8"]}],
    )
    asked = query("www.site.test", number=99, edns=Edns()).replace(b"site", b"SITE")
    answer = names.begin(asked, new_session())
    assert isinstance(answer, bytes)
    message = parse(answer)
    assert (message.id, message.authoritative, message.edns) == (99, True, Edns())
    assert [(record.name, record.ttl) for record in message.answer] == [("www.site.test", 5), ("x.test", 9)]
    assert answer[12:27] == asked[12:27]
    bare = resolver({"a": at("192.0.2.1")}, rules=[{"action": "predefined", "rcode": "BADVERS"}])
    assert told(ask(bare, query("www.site.test"))) == ("SERVFAIL", [])
    assert told(ask(bare, query("www.site.test", edns=Edns()))) == ("BADVERS", [])


def test_at_once_what_is_known_and_later_what_is_not() -> None:
    server = at("192.0.2.1")
    names = resolver({"a": server}, rules=[{"domain": "other.test", "action": "reject"}])
    later = names.begin(query("www.site.test"), new_session())
    assert callable(later)
    assert not server.asked
    assert told(later()) == ("NOERROR", ["192.0.2.1"])
    again = names.begin(query("www.site.test"), new_session())
    assert isinstance(again, bytes)
    assert told(again) == ("NOERROR", ["192.0.2.1"])


def test_evaluated_answers_at_once_if_they_are_known() -> None:
    one, other = at("10.0.0.1"), at("192.0.2.1")
    names = resolver(
        {"a": one, "b": other},
        rules=[
            {"action": "evaluate", "server": "a"},
            {"match_response": True, "ip_is_private": True, "server": "b"},
            {"action": "respond"},
        ],
    )
    assert told(ask(names, query("www.site.test"))) == ("NOERROR", ["192.0.2.1"])
    answer = names.begin(query("www.site.test"), new_session())
    assert isinstance(answer, bytes)
    assert (told(answer), len(one.asked), len(other.asked)) == (("NOERROR", ["192.0.2.1"]), 1, 1)


def test_what_was_asked_for_in_vain_is_left() -> None:
    slow, quick = at("10.0.0.1"), at("10.0.0.2")
    slow.go.clear()
    names = resolver(
        {"a": slow, "b": quick},
        rules=[
            {"action": "evaluate", "server": "a", "tag": "x"},
            {"action": "evaluate", "server": "b"},
            {"match_response": True, "ip_is_private": True, "action": "respond"},
        ],
        disable_cache=True,
    )
    assert told(ask(names, query("www.site.test"))) == ("NOERROR", ["10.0.0.2"])
    assert len(slow.asked) == 1


def test_a_filter_goes_on_with_the_next_rule() -> None:
    one, other = at("192.0.2.1"), at("198.51.100.1")
    names = resolver({"a": one, "b": other}, rules=[{"ip_is_private": True, "server": "a"}, {"server": "b"}])
    for _ in range(2):
        assert told(ask(names, query("www.site.test"))) == ("NOERROR", ["198.51.100.1"])
    assert told(ask(names, query("www.site.test", types.TXT))) == ("NOERROR", [])
    assert [len(one.asked), len(other.asked)] == [1, 2]


def test_respond_without_an_answer_is_a_failure() -> None:
    names = resolver({"a": failing()}, rules=[{"action": "evaluate", "server": "a"}, {"action": "respond"}])
    assert told(ask(names, query("www.site.test"))) == ("SERVFAIL", [])


def test_rules_look_at_the_name_and_not_at_the_client_s_target() -> None:
    server = at("192.0.2.1")
    names = resolver({"a": server, "b": NX}, rules=[{"domain": "asked.test", "server": "b"}])
    session = new_session()
    session.sniffed = Sniffed("dns", "asked.test")
    session.addresses = (ip_address("192.0.2.7"),)
    assert told(names.exchange(query("www.site.test"), session)) == ("NOERROR", ["192.0.2.1"])
    assert (str(session.target), session.query_type) == ("asked.test:53", 0)


def test_facts_are_found_out_before_rules_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    context = Context()
    found: list[object] = []
    monkeypatch.setattr(type(context.facts), "collect", lambda facts, session: found.append(session))
    names = resolver({"a": at("192.0.2.1")}, context, rules=[{"process_name": "curl", "action": "reject"}])
    later = names.begin(query("www.site.test"), new_session())
    assert callable(later)
    assert told(later()) == ("NOERROR", ["192.0.2.1"])
    assert len(found) == 1


# -- gproxy itself ----------------------------------------------------------------------------------------------------


def lookup(names: object, domain: str = "www.site.test", **how: object) -> list[str]:
    return [str(ip) for ip in names.lookup(domain, new_session(), LookupOptions(**how))]  # type: ignore[attr-defined, arg-type]


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("", ["192.0.2.1", "2001:db8::1"]),
        ("prefer_ipv4", ["192.0.2.1", "2001:db8::1"]),
        ("prefer_ipv6", ["2001:db8::1", "192.0.2.1"]),
        ("ipv4_only", ["192.0.2.1"]),
        ("ipv6_only", ["2001:db8::1"]),
    ],
)
def test_both_families_as_the_strategy_says(strategy: str, expected: list[str]) -> None:
    server = at("192.0.2.1", "2001:db8::1")
    assert lookup(resolver({"a": server}), strategy=strategy) == expected
    assert len(server.asked) == len(expected)
    assert lookup(resolver({"a": server}, strategy=strategy)) == expected


def test_both_families_are_asked_at_the_same_time() -> None:
    server = at("192.0.2.1", "2001:db8::1")
    server.go.clear()
    names = resolver({"a": server})
    found: list[list[str]] = []
    with Group("asker") as group:
        group.spawn(lambda: found.append(lookup(names)))
        while len(server.asked) < 2:
            group.join(0.001)
        server.go.set()
        group.join(30)
    assert found == [["192.0.2.1", "2001:db8::1"]]


def test_one_family_is_enough() -> None:
    def say(name: str, kind: int) -> Message:
        if kind == types.A:
            raise DialError("no way", reason="dns")
        return reply(name, kind, "2001:db8::1")

    assert lookup(resolver({"a": FakeServer(say)})) == ["2001:db8::1"]


@pytest.mark.parametrize(
    ("server", "why"),
    [
        (NX, "www.site.test: no such name, says DNS server `a`"),
        (at(""), "www.site.test: no address"),
        (failing("no way"), "no way"),
        (FakeServer(lambda name, kind: reply(name, kind, rcode=types.REFUSED)), "REFUSED, says DNS server `a`"),
    ],
)
def test_no_addresses(server: FakeServer, why: str) -> None:
    with pytest.raises(DialError, match=why) as caught:
        lookup(resolver({"a": server}))
    assert caught.value.reason == "dns"


def test_names_that_are_none() -> None:
    with pytest.raises(DialError, match="domain name"):
        lookup(resolver({"a": at("192.0.2.1")}), "x" * 64 + ".test")


def test_a_server_that_is_named_is_asked_past_the_rules() -> None:
    names = resolver({"a": at("192.0.2.1"), "b": at("192.0.2.2")}, rules=[{"action": "reject"}])
    assert lookup(names, server="b") == ["192.0.2.2"]
    with pytest.raises(Rejected):
        lookup(names)


def test_rules_may_tell_families_apart() -> None:
    names = resolver(
        {"a": at("192.0.2.1", "2001:db8::1"), "b": at("192.0.2.2", "2001:db8::2")},
        rules=[{"query_type": "AAAA", "server": "b"}],
    )
    assert lookup(names) == ["192.0.2.1", "2001:db8::2"]


def test_addresses_that_are_nobody_s_are_for_clients() -> None:
    names = resolver({"a": at("192.0.2.1"), "f": at("198.18.0.1")}, fakes=("f",), rules=[{"server": "f"}])
    assert lookup(names) == ["192.0.2.1"]
    assert told(ask(names, query("www.site.test"))) == ("NOERROR", ["198.18.0.1"])


def test_predefined_addresses_are_found_too() -> None:
    names = resolver({"a": failing()}, rules=[{"action": "predefined", "answer": "*. IN A 192.0.2.9"}, {"server": "a"}])
    assert lookup(names) == ["192.0.2.9"]
    refusing = resolver({"a": failing()}, rules=[{"action": "predefined", "rcode": "NXDOMAIN"}])
    with pytest.raises(DialError, match="no such name, says a DNS rule"):
        lookup(refusing)


def test_which_name_led_to_an_address() -> None:
    names = resolver({"a": at("192.0.2.1")}, reverse_mapping=True)
    ask(names, query("www.site.test"))
    assert names.name_of(ip_address("192.0.2.1")) == "www.site.test"
    lookup(names, "other.test")
    assert names.name_of(ip_address("192.0.2.1")) == "www.site.test"
    assert resolver({"a": at("192.0.2.1")}).name_of(ip_address("192.0.2.1")) == ""


@pytest.mark.parametrize(
    "given",
    [
        [],
        [{"domain": "www.site.test", "server": "a"}],
        [{"query_type": "A", "action": "route-options", "rewrite_ttl": 5}],
    ],
)
def test_what_needs_no_greenlet(given: list[dict[str, Any]]) -> None:
    server = PromptServer(lambda name, kind: reply(name, kind, "192.0.2.9"))
    names = resolver({"a": server}, rules=given)
    later = names.begin(query("WwW.site.test", number=77), new_session())
    ready: list[bool] = []
    assert isinstance(later, Soon)
    assert later.soon(lambda: ready.append(True))
    server.tell(reply("www.site.test", types.A, "192.0.2.1"))
    assert ready
    answer = later()
    assert told(answer) == ("NOERROR", ["192.0.2.1"])
    assert answer[:2] == b"\0\x4d"
    assert b"WwW" in answer
    assert not server.asked


def test_a_failure_without_a_greenlet_is_told() -> None:
    server = PromptServer(lambda name, kind: reply(name, kind, "192.0.2.9"))
    later = resolver({"a": server}).begin(query("www.site.test"), new_session())
    assert isinstance(later, Soon)
    assert later.soon(lambda: None)
    server.fail("an answer that is cut off")
    assert told(later()) == ("SERVFAIL", [])


def test_what_an_answer_decides_is_waited_for() -> None:
    server = PromptServer(lambda name, kind: reply(name, kind, "192.0.2.9"))
    names = resolver({"a": server}, rules=[{"ip_cidr": "198.51.100.0/24", "server": "a"}])
    later = names.begin(query("www.site.test"), new_session())
    assert isinstance(later, Soon)
    assert not later.soon(lambda: None)
    assert told(later()) == ("NOERROR", ["192.0.2.9"])
