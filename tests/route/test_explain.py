from __future__ import annotations

from typing import Any

import pytest

from gproxy.base.session import Session
from gproxy.route.action import RouteTo, SetOptions
from gproxy.route.context import NO_CONTEXT
from gproxy.route.explain import Tried, explain, reason_for
from gproxy.route.rule import Router
from tests.route.kit import options, session


def told(rules: list[dict[str, Any]], one: Session) -> list[Tried]:
    performed: list[object] = []

    def perform(action: object, session: Session) -> None:
        performed.append(action)
        if isinstance(action, SetOptions):
            action.overrides.apply(session)

    steps = list(explain(options(*rules), "final-out", NO_CONTEXT, one, perform))
    assert performed == [step.action for step in steps[:-1] if step.action is not None]
    return steps


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"domain": "a.test"}, "domain yes"),
        ({"domain": "b.test"}, "domain no"),
        ({}, "no condition yes"),
        ({"domain": "a.test", "port": 81}, "all of (port no, domain yes)"),
        ({"domain": "b.test", "domain_keyword": "a."}, "any of (domain no, domain_keyword yes)"),
        (
            {"network": "udp", "domain": "b.test", "ip_cidr": "::/0"},
            "all of (network no, any of (domain no, ip_cidr no))",
        ),
        ({"domain": "a.test", "invert": True}, "not all of (domain yes)"),
        (
            {"type": "logical", "mode": "or", "rules": [{"port": 81}, {"domain": "a.test", "port": 80}]},
            "any of (port no, all of (port yes, domain yes))",
        ),
        ({"type": "logical", "mode": "and", "rules": [{"port": 80}], "invert": True}, "not all of (port yes)"),
    ],
)
def test_reasons(rule: dict[str, Any], said: str) -> None:
    (read,) = options({**rule, "outbound": "x"})
    reason = reason_for(read, NO_CONTEXT, session("a.test", 80))
    assert str(reason) == said
    (action,) = Router([read], "no").walk(session("a.test", 80))
    assert isinstance(action, RouteTo)
    assert reason.holds == (action.outbound == "x")


def test_the_walk_ends_where_it_is_decided() -> None:
    steps = told(
        [
            {"domain": "no.test", "outbound": "a"},
            {"domain": "a.test", "action": "route-options", "override_port": 81},
            {"port": 80, "outbound": "b"},
            {"port": 81, "outbound": "c"},
            {"outbound": "d"},
        ],
        session("a.test", 80),
    )
    assert [step.matched for step in steps] == [False, True, False, True]
    last = steps[-1].action
    assert isinstance(last, RouteTo)
    assert last.outbound == "c"
    assert steps[0].name == "rule[0] domain=no.test => route(a)"


def test_what_no_rule_decides_goes_to_the_end() -> None:
    steps = told([{"domain": "no.test", "outbound": "a"}], session("a.test", 80))
    assert (steps[-1].name, steps[-1].reason, steps[-1].matched) == ("final", None, True)
    assert isinstance(steps[-1].action, RouteTo)
    assert steps[-1].action.outbound == "final-out"
