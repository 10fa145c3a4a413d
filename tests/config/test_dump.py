from __future__ import annotations

import tomllib

from hypothesis import given

from gproxy.config.dump import dump_json, dump_toml
from gproxy.config.parse import parse
from tests.config.writing import TREES


@given(TREES)
def test_a_dump_reads_back(tree):
    assert parse(dump_json(tree), "json") == tree
    assert parse(dump_toml(tree), "toml") == tree


def test_toml_as_people_write_it():
    tree = {
        "log": {"level": "info"},
        "inbounds": [{"type": "mixed", "users": [{"username": "a", "password": "b"}]}, {"type": "http"}],
        "route": {"final": "x", "rules": [{"port": [1, 2]}]},
    }
    assert dump_toml(tree) == (
        '[log]\nlevel = "info"\n\n[[inbounds]]\ntype = "mixed"\nusers = [{ username = "a", password = "b" }]\n\n'
        '[[inbounds]]\ntype = "http"\n\n[route]\nfinal = "x"\n\n[[route.rules]]\nport = [1, 2]\n'
    )


def test_what_one_form_has_and_the_other_has_not():
    assert parse(dump_toml({"a": None, "b": [None, 1], "c": {"d": None}}), "toml") == {"b": [1], "c": {}}
    tree = tomllib.loads("d = 1979-05-27\nt = 07:32:00\nf = [1.5, inf, -inf]")
    assert parse(dump_toml(tree), "toml") == tree
    assert '"1979-05-27"' in dump_json({"d": tree["d"]})
    assert dump_toml({"f": float("nan")}) == "f = nan\n"


def test_a_long_list_gets_lines():
    assert dump_toml({"a": ["x" * 60, "y" * 60]}).count("\n") == 4
