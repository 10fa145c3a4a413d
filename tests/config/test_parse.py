from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.config.load import ConfigProblems, Source, load_sources
from gproxy.config.parse import SyntaxProblem, parse
from gproxy.config.root import read_root


def test_json_takes_comments_and_trailing_commas():
    text = """
    // first
    { "a": 1, /* two
    lines */ "b": ["//", "/*", "#", ",]",], # third
      "c": {"d": "\\"// no comment",},
    }"""
    assert parse(text, "json") == {"a": 1, "b": ["//", "/*", "#", ",]"], "c": {"d": '"// no comment'}}


@pytest.mark.parametrize(
    ("text", "form", "message", "offset"),
    [
        ("a = \n", "toml", "invalid value", 4),
        ("a = 1\na = 2\n", "toml", "cannot overwrite a value", 11),
        ("a = [1, 2", "toml", "unclosed array", 9),
        ('{"a": 1 "b": 2}', "json", "expecting ',' delimiter", 8),
        ('{"a": /* x */ }', "json", "expecting value", 14),
        ("[1]", "json", "expected a table: a configuration begins with `{`", 0),
        ('{"a": NaN}', "json", "NaN is no JSON", 0),
        ("[" * 5000, "json", "nested more than 64 levels deep", 0),
        ("a = " + "[" * 5000, "toml", "nested more than 64 levels deep", 0),
        ("a = " + "[" * 65 + "]" * 65, "toml", "nested more than 64 levels deep", 0),
        ('{"a": [{"b": 1, /* "b": */ "c": {"b": 2}, "b": 3}]}', "json", "the key is given twice in its table", 42),
    ],
)
def test_syntax_errors_have_a_place(text, form, message, offset):
    with pytest.raises(SyntaxProblem) as caught:
        parse(text, form)
    assert caught.value.message.lower().startswith(message.lower())
    assert caught.value.offset == offset


@given(st.text(alphabet="{}[]\",:/*#\\ \n=0a.'-", max_size=60), st.sampled_from(["toml", "json"]))
def test_any_text_gives_a_tree_or_a_syntax_problem(text, form):
    offset = 0
    try:
        assert isinstance(parse(text, form), dict)
    except SyntaxProblem as error:
        offset = error.offset
    assert 0 <= offset <= len(text) + 1


@pytest.mark.parametrize("form", ["toml", "json"])
def test_what_is_as_deep_as_allowed_can_be_used(form):
    deep = "[" * 63 + "]" * 63
    text = f"a = {deep}" if form == "toml" else f'{{"a": {deep}}}'
    with pytest.raises(ConfigProblems, match="unknown key"):
        read_root(load_sources([Source("c", text, form)], {}))
