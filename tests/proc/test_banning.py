"""gproxy.proc.banning: what the control socket's questions about bans do."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any, cast

import pytest

from gproxy.limit.bans import BanTable
from gproxy.limit.memory import Memory
from gproxy.proc.banning import BanDesk


class Desk:
    def __init__(self) -> None:
        self.memory = Memory()
        self.table = BanTable(self.memory)
        self.said: list[str] = []
        self.desk = BanDesk(lambda: self.memory, lambda level, text: self.said.append(text))
        self.values: dict[str, Any] = {}

    def answer(self, **values: Any) -> None:
        self.answers.append(values)

    def ask(self, allow: list[str] | None = None, **values: Any) -> dict[str, Any]:
        self.values, self.answers = values, []
        self.desk.answer(cast(Any, self), allow if allow is not None else [])
        [answer] = self.answers
        return answer


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_added_shown_and_removed(desk: Desk) -> None:
    assert desk.ask(do="add", network="192.0.2.7", seconds=60)["ok"]
    assert desk.ask(do="add", network="2001:db8::7/32", seconds=60)["ban"]["network"] == "2001:db8::/32"
    assert desk.ask(do="add", network="::ffff:192.0.2.8", seconds=60)["ban"]["network"] == "192.0.2.8"
    assert desk.table.holds(ip_address("2001:db8:1::"))
    listed = desk.ask(do="list")
    assert {each["network"] for each in listed["bans"]} == {"192.0.2.7", "2001:db8::/32", "192.0.2.8"}
    assert {(each["reason"], each["times"], each["length"]) for each in listed["bans"]} == {("manual", 1, 60.0)}
    assert (listed["next"], listed["total"]) == (None, 3)
    assert desk.ask(do="remove", network="192.0.2.7") == {"ok": True, "removed": ["192.0.2.7"]}
    assert desk.ask(do="remove", network="192.0.2.7") == {"ok": True, "removed": []}
    assert desk.said == [
        "192.0.2.7 is banned for 60 s by `gproxy ban`",
        "2001:db8::/32 is banned for 60 s by `gproxy ban`",
        "192.0.2.8 is banned for 60 s by `gproxy ban`",
        "192.0.2.7 is let in again: 1 ban was removed by `gproxy ban`",
    ]


def test_a_long_list_comes_in_parts(desk: Desk) -> None:
    for number in range(1100):
        desk.table.add(ip_network(f"10.0.{number >> 8}.{number & 255}/32"), 60)
    found: list[str] = []
    first: int | None = 0
    sizes = []
    while first is not None:
        answer = desk.ask(do="list", first=first)
        found += [each["network"] for each in answer["bans"]]
        sizes.append(len(answer["bans"]))
        first = answer["next"]
    assert sizes == [500, 500, 100]
    assert len(set(found)) == 1100


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({}, "do one of list, add, remove"),
        ({"do": "list", "first": -1}, "a list begins at a row"),
        ({"do": "list", "first": "x"}, "a list begins at a row"),
        ({"do": "add", "network": "nobody", "seconds": 60}, "expected an IP address"),
        ({"do": "add", "network": 7, "seconds": 60}, "expected an IP address"),
        ({"do": "add", "network": "192.0.2.1", "seconds": 0}, "a second at least"),
        ({"do": "add", "network": "192.0.2.1", "seconds": float("inf")}, "a second at least"),
        ({"do": "add", "network": "192.0.2.1"}, "a second at least"),
        ({"do": "add", "network": "127.0.0.1", "seconds": 60}, "never banned: `bans.allow` has 127.0.0.0/8"),
        ({"do": "remove"}, "expected an IP address"),
    ],
)
def test_what_can_not_be_done(asked: dict[str, Any], error: str, desk: Desk) -> None:
    answer = desk.ask(["127.0.0.0/8", "::1/128"], **asked)
    assert not answer["ok"]
    assert error in answer["error"]
    assert list(desk.table.bans()) == []


def test_without_bans_there_is_nothing_to_do(desk: Desk) -> None:
    desk.values, desk.answers = {"do": "list"}, []
    desk.desk.answer(cast(Any, desk), None)
    assert desk.answers == [
        {"ok": False, "error": "nobody is banned: the configuration has no table `bans`, or it is off"}
    ]
