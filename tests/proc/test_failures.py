"""gproxy.proc.failures with a master that only writes down what it is told; see test_master for the whole."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from gproxy.app.messages import Serve
from gproxy.proc import orders
from gproxy.proc.failures import Failures


class World:
    """What failures need of a master."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.told: list[tuple[int, object]] = []
        self.verdicts: list[dict[str, Any]] = []
        self.later: list[tuple[float, Any]] = []
        self.given_up: list[tuple[int, str]] = []
        self.removed: list[object] = []
        self.ready: list[int] = []
        self.reloads = self.code = self.stopping = 0
        self.number = 7
        self.current: Any = None
        self.coming: Any = None
        self.slots = SimpleNamespace(remove=self.removed.append)
        self.notifier = SimpleNamespace(ready=lambda: self.ready.append(1))
        self.admin = SimpleNamespace(listen=lambda path: None)
        self.timers = SimpleNamespace(after=lambda seconds, call: self.later.append((seconds, call)))
        self.failures = Failures(cast(Any, self))

    def say(self, level: str, text: str) -> None:
        self.said.append(text)

    def tell(self, generation: Any, message: object) -> None:
        self.told.append((generation.number, message))

    def tell_verdict(self, **verdict: Any) -> None:
        self.verdicts.append(verdict)

    def give_up(self, generation: Any, why: str) -> None:
        self.given_up.append((generation.number, why))

    def reload(self) -> None:
        self.reloads += 1


def generation(number: int, state: str = "serving", **more: Any) -> Any:
    plan = SimpleNamespace(control="/run/x.sock")
    values = {"refused": "", "misconfigured": False, "opened": ["socket"], "plan": plan, **more}
    return SimpleNamespace(number=number, state=state, **values)


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize(("state", "told"), [("forking", []), ("taking over", [(1, Serve())])])
def test_who_was_serving_goes_on(world: World, state: str, told: list[object]) -> None:
    world.current = generation(1)
    world.coming = coming = generation(2, state, refused="no such key", misconfigured=True)
    world.failures.refused(coming)
    assert (world.coming, world.code, world.removed, world.told) == (None, 0, [["socket"]], told)
    assert world.verdicts == [{"ok": False, "error": "no such key", "code": 3, "generation": 2}]
    assert world.ready


@pytest.mark.parametrize(("misconfigured", "code"), [(True, 3), (False, 1)])
def test_nothing_has_served_yet(world: World, misconfigured: bool, code: int) -> None:
    world.failures.refused(generation(1, "loading", misconfigured=misconfigured))
    assert (world.code, world.later, world.verdicts[0]["code"]) == (code, [], code)
    assert world.said == ["generation 1 was refused:\nits template died while it started"]


def test_nothing_serves_any_more(world: World, held_clock: object) -> None:
    world.failures.served = True
    for wait in (0.0, 0.5, 1.0):
        world.failures.refused(generation(2, "loading"))
        assert world.failures.retrying
        assert world.later[-1][0] == wait
    _, again = world.later[-1]
    again()
    assert (world.reloads, world.code) == (1, 0)
    world.failures.retrying = False
    again()
    assert world.reloads == 1


def test_whoever_is_told_to_stop_is_not_told_of_failures(world: World) -> None:
    world.stopping = 1
    world.failures.refused(generation(2, "loading"))
    assert (world.said, world.verdicts) == ([], [])


@pytest.mark.parametrize(
    ("current", "served", "left"), [(True, True, (0, 1, 0)), (False, True, (0, 0, 1)), (False, False, (1, 0, 0))]
)
def test_no_process(world: World, current: bool, served: bool, left: tuple[int, int, int]) -> None:
    world.current = generation(1) if current else None
    world.failures.served = served
    world.failures.not_begun("no memory")
    assert (world.code, len(world.ready), len(world.later)) == left
    assert world.said == ["generation 7 was not begun: no memory"]
    assert world.verdicts == [{"ok": False, "error": "no memory", "code": 1, "generation": 7}]


def test_processes_that_die(world: World, held_clock: object) -> None:
    world.current, world.coming = generation(1), generation(2, "forking")
    world.failures.died(world.coming, orders.Died(orders.CONTROL, 5, "exited with status 1"))
    assert world.given_up == [(2, "control exited with status 1 while it started")]
    for wait in (0.0, 0.5):
        world.failures.died(world.current, orders.Died(3, 5, "was killed by SIGKILL"))
        assert world.later[-1][0] == wait
    _, again = world.later[-1]
    again()
    assert world.told == [(1, orders.ForkAgain(3))]
    assert world.said[1] == "worker 3 (5) of generation 1 was killed by SIGKILL"
    world.failures.died(generation(0, "draining"), orders.Died(0, 6, "exited with status 0"))
    assert len(world.later) == 2
