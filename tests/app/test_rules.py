"""What rules are compiled with, and what keeps rule sets up to date."""

from __future__ import annotations

import json
import logging
import os

import pytest

from gproxy.app.build import build
from gproxy.app.messages import RuleSetChanged
from gproxy.app.rules import build_context, build_updates, take_rule_set
from gproxy.base.errors import ConfigError
from gproxy.config.root import Root
from gproxy.engine.outbounds import Outbounds
from gproxy.route.headless import read_rules
from gproxy.route.options import RouteOptions
from gproxy.route.sets.packed import in_memory, pack
from gproxy.schema.model import read
from tests.route.kit import session


@pytest.fixture(autouse=True)
def own_state(tmp_path, monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))


def root(**route):
    problems = []
    options = read(RouteOptions, route, ("route",), problems)
    assert options is not None, problems
    return Root(route=options)


def test_a_configuration_without_rule_sets_has_none():
    assert not build_context(Root()).rule_sets
    assert build_updates(Root(), build_context(Root()), Outbounds({}, "")) is None


def test_rule_sets_are_there_from_the_start(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"version": 1, "rules": [{"port": 80}]}), "utf-8")
    sets = [{"tag": "in", "rules": [{"port": 1}]}, {"type": "local", "tag": "file", "path": str(path)}]
    context = build_context(root(rule_set=[*sets, {"type": "remote", "tag": "far", "url": "http://a.test/a.srs"}]))
    assert [tag for tag, each in context.rule_sets.items() if each.match(session(port=80))] == ["file"]
    assert [tag for tag, each in context.rule_sets.items() if each.match(session(port=1))] == ["in"]


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"rule set x: .*none\.json: no such file"):
        build_context(root(rule_set={"type": "local", "tag": "x", "path": str(tmp_path / "none.json")}))


def test_what_can_change_is_looked_after(tmp_path):
    inline = {"tag": "in", "rules": [{"port": 1}]}
    assert build(root(rule_set=inline)).updates is None
    assert build(root(rule_set=[inline, {"type": "remote", "tag": "far", "url": "http://a.test/a.srs"}])).updates


@pytest.mark.parametrize("data", [pack(read_rules([{"port": 443}])), b"garbage", b""])
def test_a_message_with_a_newer_version(data, caplog):
    context = build_context(root(rule_set={"tag": "x", "rules": [{"port": 1}]}))
    descriptor = in_memory(data)
    take_rule_set(context.rule_sets, RuleSetChanged("x", "new"), descriptor)
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(descriptor)
    taken = len(data) > 10
    assert context.rule_sets["x"].match(session(port=443 if taken else 1))
    assert bool([each for each in caplog.records if each.levelno >= logging.ERROR]) != taken


def test_a_message_about_what_nobody_has():
    descriptor = in_memory(b"")
    take_rule_set({}, RuleSetChanged("x", "new"), descriptor)
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(descriptor)
