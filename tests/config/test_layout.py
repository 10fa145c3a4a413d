from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.config.layout import lay_out
from gproxy.config.parse import parse
from tests.config.writing import TREES, Writer

JSON = """{"log":{"level":"info", // after
 "timestamp":true,},


/* before */ "inbounds":[{"type":"mixed", "x":[] ,"y":{}},
 // alone
 {}]}"""
JSON_LAID_OUT = """{
  "log": {
    "level": "info", // after
    "timestamp": true
  },

  /* before */ "inbounds": [
    {
      "type": "mixed",
      "x": [],
      "y": {}
    },
    // alone
    {}
  ]
}
"""
TOML = """

# top
a  =  1   # after
b.c='x'
# of the header
[[ inbounds ]]
\ttype="mixed"


users = [
    { username = "a" }, # kept
]
[inbounds . "x y"]"""
TOML_LAID_OUT = """# top
a = 1   # after
b.c = 'x'

# of the header
[[inbounds]]
type = "mixed"

users = [
    { username = "a" }, # kept
]

[inbounds."x y"]
"""


@pytest.mark.parametrize(("text", "form", "result"), [(JSON, "json", JSON_LAID_OUT), (TOML, "toml", TOML_LAID_OUT)])
def test_the_usual_layout(text, form, result):
    assert lay_out(text, form) == result
    assert lay_out(result, form) == result


@given(TREES, st.data(), st.sampled_from(["toml", "json"]))
def test_the_layout_keeps_the_document_and_stays(tree, data, form):
    writer = Writer(lambda count: data.draw(st.integers(0, count - 1)))
    text = writer.toml(tree) if form == "toml" else writer.json(tree)
    once = lay_out(text, form)
    assert parse(once, form) == parse(text, form)
    assert lay_out(once, form) == once


def test_our_own_file_is_laid_out_as_usual():
    text = (Path(__file__).parents[2] / "etc" / "config.toml").read_text("utf-8")
    assert lay_out(text, "toml") == text
