"""The answer to `gproxy status`, from generations that the test plays."""

from __future__ import annotations

from ipaddress import ip_network
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gproxy.limit.bans import BanTable
from gproxy.limit.memory import Memory
from gproxy.proc.generation import Generation
from gproxy.proc.master import Master
from gproxy.proc.orders import AskStatus, Plan, Status
from gproxy.proc.status import StatusDesk
from gproxy.proc.tally import Tally
from gproxy.proc.timers import Timers
from tests.support.clock import HeldClock


class Asked:
    """Stands for a request."""

    def __init__(self) -> None:
        self.answers: list[dict[str, Any]] = []

    def answer(self, **values: Any) -> None:
        self.answers.append(values)


class House:
    """Stands for the master."""

    def __init__(self, *generations: Generation) -> None:
        self.all = list(generations)
        self.current: Generation | None = None
        self.memory = Memory()
        self.told: list[tuple[int, AskStatus]] = []
        self.tally = Tally()
        self.timers = Timers()
        self.started = 1_750_000_000.0 - 60
        self.slots = SimpleNamespace(endpoints=lambda: ["127.0.0.1:1/tcp"])

    def generations(self) -> list[Generation]:
        return self.all

    def tell(self, generation: Generation, message: AskStatus) -> None:
        self.told.append((generation.number, message))


def generation(number: int, state: Any) -> Generation:
    made = Generation(number, 100 + number, cast(Any, None), since=990.0, state=state)
    made.processes = {-1: 9, 1: 11, 0: 10}
    return made


def counters(opened: int, active: int) -> dict[str, Any]:
    return {"opened": opened, "active": active, "up": 0, "down": 0, "statuses": {}}


@pytest.fixture
def house(held_clock: HeldClock) -> House:
    return House(generation(1, "draining"), generation(2, "serving"), generation(3, "loading"))


def test_it_waits_for_those_that_count(house: House) -> None:
    desk, asked = StatusDesk(cast(Master, house)), Asked()
    desk.ask(cast(Any, asked))
    assert house.told == [(1, AskStatus(1)), (2, AskStatus(1))]
    desk.hear(house.all[0], Status(1, counters(5, 1)))
    assert asked.answers == []
    desk.hear(house.all[1], Status(1, counters(7, 2)))
    [answer] = asked.answers
    assert answer["ok"] is True
    assert answer["uptime"] == 60
    assert answer["listeners"] == ["127.0.0.1:1/tcp"]
    assert answer["counters"] == counters(12, 3)
    assert [each["state"] for each in answer["generations"]] == ["draining", "serving", "loading"]
    assert [each["active"] for each in answer["generations"]] == [1, 2, None]
    assert answer["generations"][0]["workers"] == {"0": 10, "1": 11}
    assert answer["generations"][0]["age"] == 10


def test_it_does_not_wait_for_ever(house: House, held_clock: HeldClock) -> None:
    desk, asked = StatusDesk(cast(Master, house)), Asked()
    desk.ask(cast(Any, asked))
    desk.hear(house.all[1], Status(1, counters(7, 2)))
    held_clock.advance(1.0)
    house.timers.run_due()
    assert [each["counters"] for each in asked.answers] == [counters(7, 2)]
    desk.hear(house.all[0], Status(1, counters(5, 1)))
    assert len(asked.answers) == 1, "only once"


def test_one_that_ends_meanwhile(house: House, held_clock: HeldClock) -> None:
    desk, asked = StatusDesk(cast(Master, house)), Asked()
    desk.ask(cast(Any, asked))
    house.all.clear()
    held_clock.advance(1.0)
    house.timers.run_due()
    assert asked.answers[0]["generations"] == []


def test_nothing_serves_yet(held_clock: HeldClock) -> None:
    house, asked = House(generation(1, "loading")), Asked()
    StatusDesk(cast(Master, house)).ask(cast(Any, asked))
    house.timers.run_due()
    assert asked.answers[0]["counters"] == counters(0, 0)


def test_questions_don_t_mix(house: House) -> None:
    desk, first, second = StatusDesk(cast(Master, house)), Asked(), Asked()
    desk.ask(cast(Any, first))
    desk.ask(cast(Any, second))
    for number in (2, 1):
        for each in house.all[:2]:
            desk.hear(each, Status(number, counters(number, 0)))
        assert (len(first.answers), len(second.answers)) == ((0, 1) if number == 2 else (1, 1))
    desk.hear(house.all[0], Status(0, counters(1, 0)))


def test_breakers_and_bans(house: House) -> None:
    house.current = house.all[1]
    house.current.plan = Plan([], 2, 1.0, 1.0, "", bans=[])
    BanTable(house.memory).add(ip_network("192.0.2.1"), 60)
    desk, asked = StatusDesk(cast(Master, house)), Asked()
    desk.ask(cast(Any, asked))
    told = {"out": {"closed": 0, "open": 2, "half-open": 0, "opened": 5}}
    desk.hear(house.all[1], Status(1, {**counters(7, 2), "breakers": told}))
    desk.hear(house.all[0], Status(1, counters(5, 1)))
    (answer,) = asked.answers
    assert [each["breakers"] for each in answer["generations"]] == [{}, told, {}]
    assert answer["bans"] == {"banned": 1, "total": 1}
