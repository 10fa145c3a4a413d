from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.config.env import expand
from gproxy.config.load import Source, load_sources
from gproxy.schema.problem import Problem, Substituted

ENVIRONMENT = {"A": "one", "EMPTY": "", "SELF": "${A}"}


def expanded(text: str) -> str:
    problems: list[Problem] = []
    result = expand(text, ENVIRONMENT, (), problems)
    assert problems == []
    assert isinstance(result, str)
    return result


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("${A}", "one"), ("x${A}y${A}", "xoneyone"), ("${B:-two}", "two"), ("${A:-two}", "one"), ("${EMPTY}", ""),
        ("${EMPTY:-x}", "x"), ("${B:-}", ""), ("$${A}", "${A}"), ("$$$${A}", "$$${A}"), ("$A", "$A"), ("$", "$"),
        ("${SELF}", "${A}"), ("${B:-a:-b}", "a:-b"), ("5$", "5$"), ("$$", "$$"),
    ],
)  # fmt: skip
def test_variables_in_text(text, result):
    assert expanded(text) == result


@pytest.mark.parametrize("text", ["${}", "${1}", "${A", "${A-x}", "x ${ y"])
def test_what_begins_no_variable_is_a_mistake(text):
    problems: list[Problem] = []
    expand({"k": [text]}, ENVIRONMENT, (), problems)
    assert [(each.path, each.message) for each in problems] == [(("k", 0), "`${` begins no variable")]


def test_a_variable_that_is_not_set_is_a_mistake():
    problems: list[Problem] = []
    expand({"k": "${NOPE}"}, ENVIRONMENT, (), problems)
    assert problems == [
        Problem(("k",), "the environment has no variable `NOPE`", "`${NOPE:-default}` gives it a default")
    ]


def test_only_a_variable_alone_may_become_a_number():
    assert isinstance(expanded("${A}"), Substituted)
    assert isinstance(expanded("${B:-1}"), Substituted)
    assert not isinstance(expanded("1${A}"), Substituted)
    assert not isinstance(expanded("$${A}"), Substituted)


def test_keys_and_other_values_stay():
    tree = {"${A}": 1, "n": 5, "b": True}
    assert expand(tree, ENVIRONMENT, (), []) == tree


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40))
def test_no_value_can_bring_syntax_along(value):
    text = '[log]\noutput = "${X}"\nformat = "json"\n'
    loaded = load_sources([Source("c.toml", text, "toml")], {"X": value})
    assert loaded.tree == {"log": {"output": value, "format": "json"}}
    assert loaded.raw == tomllib.loads(text)


def test_an_attempt_to_inject_a_table_stays_text():
    value = '"\n[[inbounds]]\ntype = "mixed"\nlisten = "::"\n#'
    loaded = load_sources([Source("c.toml", 'log.output = "${X}"', "toml")], {"X": value})
    assert loaded.tree == {"log": {"output": value}}
