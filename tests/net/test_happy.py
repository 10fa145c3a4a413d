from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

import pytest

from gproxy.base.address import IP
from gproxy.base.errors import DialError
from gproxy.base.iface import Stream
from gproxy.net.happy import race
from gproxy.rt.deadline import deadline
from gproxy.rt.group import Group
from gproxy.rt.sync import Event, sleep
from tests.support.pipe import PipeEnd, pipe

pytestmark = pytest.mark.usefixtures("no_leaks")

A, B = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")
X, Y = IPv6Address("2001:db8::1"), IPv6Address("2001:db8::2")
NEVER = 3600.0


class Late(Exception):
    """A deadline of a test."""


class World:
    """Addresses that open, refuse, or wait for a gate first."""

    def __init__(self, **moods: str) -> None:
        self.tried: list[IP] = []
        self.opened: dict[IP, PipeEnd] = {}
        self.gates: dict[IP, Event] = {}
        self.given_up: list[IP] = []
        self._moods: dict[IP, str] = {ip: moods.get(name, "opens") for name, ip in NAMES.items()}

    def connect(self, ip: IP) -> Stream:
        self.tried.append(ip)
        mood = self._moods[ip]
        if "waits" in mood:
            gate = self.gates[ip] = Event()
            try:
                gate.wait()
            except BaseException:
                self.given_up.append(ip)
                raise
        if "refuses" in mood:
            raise DialError(f"{ip} refuses", reason="refused")
        self.opened[ip] = pipe()[0]
        return self.opened[ip]


NAMES: dict[str, IP] = {"a": A, "b": B, "x": X, "y": Y}


def test_one_family_is_tried_in_turn() -> None:
    world = World(a="refuses")
    assert race([A, B], world.connect, NEVER) is world.opened[B]
    assert world.tried == [A, B]


def test_the_last_failure_of_one_family_comes_out() -> None:
    with pytest.raises(DialError, match=str(B)):
        race([A, B], World(a="refuses", b="refuses").connect, NEVER)


def test_a_preferred_family_that_opens_in_time_is_alone() -> None:
    world = World()
    assert race([X, A], world.connect, NEVER) is world.opened[X]
    assert world.tried == [X]


def test_one_that_fails_is_replaced_at_once() -> None:
    world = World(x="refuses", y="refuses")
    with deadline(30, Late()):
        assert race([X, A, Y], world.connect, NEVER) is world.opened[A]
    assert world.tried == [X, Y, A]


@pytest.mark.parametrize("delay", [0.001, 0.0])
def test_one_that_is_slow_is_overtaken_and_given_up(delay: float) -> None:
    world = World(x="waits")
    assert race([X, A], world.connect, delay) is world.opened[A]
    assert world.given_up == [X]


def test_a_slow_one_may_still_win() -> None:
    world = World(x="waits", a="waits")
    with Group("test") as group:
        group.spawn(_open_when_tried, world, X, A)
        assert race([X, A], world.connect, 0.001) is world.opened[X]
    assert world.given_up == [A]


def _open_when_tried(world: World, winner: IP, *others: IP) -> None:
    while not {winner, *others} <= set(world.gates):
        sleep(0.001)
    world.gates[winner].set()


def test_what_opens_beside_the_winner_is_closed() -> None:
    world = World(x="waits", a="waits")

    def both() -> None:
        while len(world.gates) < 2:
            sleep(0.001)
        world.gates[X].set()
        world.gates[A].set()

    with Group("test") as group:
        group.spawn(both)
        winner = race([X, A], world.connect, 0.001)
    losers = [stream for stream in world.opened.values() if stream is not winner]
    assert all(stream.closed for stream in losers)
    assert not winner.closed  # type: ignore[attr-defined]


def test_the_preferred_familys_failure_comes_out() -> None:
    with pytest.raises(DialError, match=str(X)):
        race([X, A], World(x="refuses", a="refuses").connect, NEVER)


def test_the_preferred_familys_failure_comes_out_though_it_was_the_later_one() -> None:
    world = World(x="waits, refuses", a="refuses")

    def let_go() -> None:
        while A not in world.tried:
            sleep(0.001)
        world.gates[X].set()

    with Group("test") as group:
        group.spawn(let_go)
        with pytest.raises(DialError, match=str(X)):
            race([X, A], world.connect, 0.001)


@pytest.mark.parametrize("end", [Late, None])
def test_an_end_from_outside_gives_everything_up(end: Callable[[], Exception] | None) -> None:
    world = World(x="waits", a="waits")
    with Group("test") as group:
        runner = group.spawn(race, [X, A], world.connect, 0.001)
        while len(world.gates) < 2:
            sleep(0.001)
        runner.kill() if end is None else runner.kill(DialError("late", reason="timeout"))
    assert sorted(world.given_up, key=str) == [A, X]
