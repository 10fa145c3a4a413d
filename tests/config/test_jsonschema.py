"""The schema against the reader. The validator below knows what our schemas use of draft 2020-12, and nothing else."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from gproxy.config.jsonschema import json_schema
from gproxy.config.load import ConfigProblems, Source, load_sources
from gproxy.config.root import read_root

SCHEMA = json_schema()
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float)}
KNOWN = {
    "$schema", "$ref", "$defs", "title", "description", "type", "properties", "required", "additionalProperties",
    "items", "anyOf", "oneOf", "enum", "const", "pattern", "minimum", "maximum", "writeOnly",
}  # fmt: skip


def valid(value: Any, schema: dict[str, Any]) -> bool:
    assert schema.keys() <= KNOWN, schema.keys() - KNOWN
    if "$ref" in schema and not valid(value, SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")]):
        return False
    if "type" in schema and not _has_type(value, schema["type"]):
        return False
    return _value_fits(value, schema) and _parts_fit(value, schema)


def _has_type(value: Any, name: str) -> bool:
    return isinstance(value, TYPES[name]) and (name == "boolean" or not isinstance(value, bool))


def _value_fits(value: Any, schema: dict[str, Any]) -> bool:
    number = isinstance(value, int | float)
    return (
        ("enum" not in schema or any(value == each and type(value) is type(each) for each in schema["enum"]))
        and ("const" not in schema or value == schema["const"])
        and ("pattern" not in schema or not isinstance(value, str) or re.search(schema["pattern"], value) is not None)
        and ("minimum" not in schema or not number or value >= schema["minimum"])
        and ("maximum" not in schema or not number or value <= schema["maximum"])
        and ("anyOf" not in schema or any(valid(value, each) for each in schema["anyOf"]))
        and ("oneOf" not in schema or [valid(value, each) for each in schema["oneOf"]].count(True) == 1)
    )


def _parts_fit(value: Any, schema: dict[str, Any]) -> bool:
    if isinstance(value, list):
        return "items" not in schema or all(valid(each, schema["items"]) for each in value)
    if not isinstance(value, dict):
        return True
    properties, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    return set(schema.get("required", ())) <= value.keys() and all(
        valid(each, properties[key]) if key in properties else others is True or (others and valid(each, others))
        for key, each in value.items()
    )


def readable(text: str) -> bool:
    try:
        read_root(load_sources([Source("c.toml", text, "toml")], {"PORT": "1"}))
    except ConfigProblems:
        return False
    return True


SOCKS = '[[outbounds]]\ntype = "socks"\nserver = "x"\n'
GOOD = [
    (Path(__file__).parents[2] / "etc" / "config.toml").read_text("utf-8"),
    '"$schema" = "x"\n[log]\nlevel = "warn"\nformat = "json"',
    '[[inbounds]]\ntype = "mixed"\nlisten_port = "${PORT}"\nusers = { username = "a", password = "b" }',
    '[[inbounds]]\ntype = "direct"\nnetwork = "udp"\nrouting_mark = "0x10"\nudp_timeout = "1m"\nlisten_ports = "1-2"',
    SOCKS + 'server_port = 1\nversion = "4a"\nnetwork = ["tcp"]',
    '[[route.rules]]\ntype = "logical"\nmode = "or"\nrules = [{ domain = "a.b" }, { port = 1 }]\naction = "reject"',
    '[[route.rules]]\nip_cidr = ["10.0.0.0/8"]\nport_range = ":5"\noutbound = "direct"',
]
BAD = [
    "x = 1",
    '[log]\nlevel = "loud"',
    '[[inbounds]]\nlisten_port = 1',
    '[[inbounds]]\ntype = "mixd"',
    '[[inbounds]]\ntype = "mixed"\nlisten_port = 65536',
    '[[inbounds]]\ntype = "mixed"\nudp_timeout = 5',
    '[[inbounds]]\ntype = "mixed"\nusers = [{ username = "a" }]',
    SOCKS,
    SOCKS + 'server_port = "x"',
    SOCKS + 'server_port = 1\nversion = 5',
    '[[route.rules]]\ntype = "logical"\nmode = "xor"\nrules = [{}]\noutbound = "direct"',
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_what_can_be_read_is_valid(text):
    assert readable(text)
    assert valid(tomllib.loads(text), SCHEMA)


@pytest.mark.parametrize("text", BAD)
def test_what_is_wrong_in_itself_is_not(text):
    assert not readable(text)
    assert not valid(tomllib.loads(text), SCHEMA)


def test_every_field_says_what_it_is_for():
    def fields(schema: Any) -> list[tuple[str, Any]]:
        found = list(schema.get("properties", {}).items())
        for each in [*schema.get("oneOf", ()), *schema.get("$defs", {}).values()]:
            found += fields(each)
        return found

    assert [name for name, field in fields(SCHEMA) if not field.get("description")] == []


def test_references_have_plain_names_and_lead_somewhere():
    text = str(SCHEMA)
    assert all(name.isalpha() for name in SCHEMA["$defs"])
    assert set(re.findall(r"#/\$defs/(\w+)", text)) == set(SCHEMA["$defs"])
