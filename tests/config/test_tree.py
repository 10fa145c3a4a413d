from __future__ import annotations

from typing import Any

import pytest

from gproxy.config.tree import elements, entries, rules, tables, tag_of, text, texts, within


@pytest.mark.parametrize("tree", [{}, {"dns": None}, {"dns": []}, {"dns": "final"}, {"dns": {}}])
def test_what_is_not_there(tree: dict[str, Any]) -> None:
    assert within(tree, "dns", "final") is None
    assert list(rules(tree, "dns")) == []


def test_what_is_there() -> None:
    assert within({"dns": {"final": 5}}, "dns", "final") == 5


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (None, []),
        ("x", [(("a",), "x")]),
        ({}, [(("a",), {})]),
        ([], []),
        (["x", None, []], [(("a", 0), "x"), (("a", 1), None), (("a", 2), [])]),
    ],
)
def test_elements(value: object, found: object) -> None:
    assert list(elements(value, ("a",))) == found


def test_tables() -> None:
    assert list(tables([{"b": 1}, 5, None, [{}], {}], ("a",))) == [(("a", 0), {"b": 1}), (("a", 4), {})]
    assert list(tables({"b": 1}, ("a",))) == [(("a",), {"b": 1})]
    assert list(entries({"inbounds": [1, {"tag": "x"}]}, "inbounds")) == [(("inbounds", 1), {"tag": "x"})]
    assert list(entries({"inbounds": {"tag": "x"}}, "inbounds")) == [(("inbounds",), {"tag": "x"})]
    assert list(entries({}, "inbounds")) == []


def test_rules_and_those_that_are_joined_in_them() -> None:
    deep = {"n": 3}
    joined = {"n": 1, "rules": [{"n": 2, "rules": deep}, "no rule", {"n": 4}]}
    tree = {"route": {"rules": [joined, {"n": 5}]}}
    assert [(path, rule["n"]) for path, rule in rules(tree, "route")] == [
        (("route", "rules", 0), 1),
        (("route", "rules", 0, "rules", 0), 2),
        (("route", "rules", 0, "rules", 0, "rules"), 3),
        (("route", "rules", 0, "rules", 2), 4),
        (("route", "rules", 1), 5),
    ]


def test_texts() -> None:
    assert list(text("x", ("a",))) == [(("a",), "x")]
    assert [list(text(value, ("a",))) for value in ("", None, 5, ["x"])] == [[], [], [], []]
    assert list(texts({"b": ["x", "", 5, "y"]}, ("a",), "b")) == [(("a", "b", 0), "x"), (("a", "b", 3), "y")]
    assert list(texts({"b": "x"}, ("a",), "b")) == [(("a", "b"), "x")]
    assert list(texts({}, ("a",), "b")) == []


@pytest.mark.parametrize(
    ("path", "entry", "tag"),
    [
        (("inbounds", 3), {"tag": "x"}, "x"),
        (("inbounds", 3), {}, "3"),
        (("inbounds", 3), {"tag": ""}, "3"),
        (("inbounds", 3), {"tag": 5}, "3"),
        (("inbounds",), {}, "0"),
        (("dns", "servers", 2), {}, "2"),
        (("dns", "servers"), {}, "0"),
    ],
)
def test_tags(path: tuple[str | int, ...], entry: dict[str, Any], tag: str) -> None:
    assert tag_of(path, entry) == tag
