from __future__ import annotations

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.config.locate import locate
from gproxy.config.parse import parse
from tests.config.writing import TREES, Writer, paths_of, value_at

CONSTRUCTS = '''\
top = 1
"quoted key" = 'literal'
dotted.a . "b" = { inline = [1, 2], 'x' = {} }   # comment = 1
text = """one
two = "2" ""\\""""
raw = \'\'\'a
b\'\'\'
many = [ # [comment]
  "a]", [ 1, { in = true } ],
  1979-05-27 07:32:00,
]

[table]
key = -1.5
[table.sub]
[[list]]
a = 1
[[list]]
[list.inner]
b = 2
[[list.deep]]
c = 3
[[list.deep]]
'''


def test_every_construct_of_toml_has_its_place():
    tree = tomllib.loads(CONSTRUCTS)
    spots = dict(locate(CONSTRUCTS, "toml"))
    assert set(spots) == paths_of(tree)
    shown = {path: CONSTRUCTS[spot.start : spot.end] for path, spot in spots.items()}
    assert shown["top",] == "1"
    assert shown["quoted key",] == "'literal'"
    assert shown["dotted", "a", "b", "inline"] == "[1, 2]"
    assert shown["dotted", "a", "b", "x"] == "{}"
    assert shown["text",].endswith('""\\""""')
    assert shown["many", 1, 1, "in"] == "true"
    assert shown["many", 2] == "1979-05-27 07:32:00"
    assert shown["list", 1, "deep", 0, "c"] == "3"
    keys = {path: CONSTRUCTS[spot.key : spot.key_end] for path, spot in spots.items()}
    assert keys["quoted key",] == '"quoted key"'
    assert keys["dotted", "a"] == "a"
    assert keys["table", "sub"] == "sub"
    assert keys["list", 1, "deep", 1] == "deep"
    assert keys["many", 0] == ""


@given(TREES, st.data())
def test_locate_finds_every_key_and_value_of_toml(tree, data):
    text = Writer(lambda count: data.draw(st.integers(0, count - 1))).toml(tree)
    read = parse(text, "toml")
    assert read == tree
    spots = dict(locate(text, "toml"))
    assert set(spots) == paths_of(read)
    for path, spot in spots.items():
        value = value_at(read, path)
        if not isinstance(value, dict | list):
            assert tomllib.loads("v = " + text[spot.start : spot.end])["v"] == value
        if spot.key != spot.key_end:
            name = next(part for part in reversed(path) if isinstance(part, str))
            assert next(iter(tomllib.loads(text[spot.key : spot.key_end] + " = 1"))) == name


@given(TREES, st.data())
def test_locate_finds_every_key_and_value_of_json(tree, data):
    text = Writer(lambda count: data.draw(st.integers(0, count - 1))).json(tree)
    assert parse(text, "json") == tree
    spots = dict(locate(text, "json"))
    assert set(spots) == paths_of(tree)
    for path, spot in spots.items():
        value = value_at(tree, path)
        if not isinstance(value, dict | list):
            assert json.loads(text[spot.start : spot.end]) == value
        if path and isinstance(path[-1], str):
            assert json.loads(text[spot.key : spot.key_end]) == path[-1]


@pytest.mark.parametrize("form", ["toml", "json"])
def test_a_large_document_takes_no_long(form):
    count = 5000
    text = "[[a]]\nb = [1, 2]\n" * count if form == "toml" else json.dumps({"a": [{"b": [1, 2]}] * count})
    assert len(locate(text, form)) > 4 * count
