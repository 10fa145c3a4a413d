"""gproxy.schema.headers."""

from __future__ import annotations

import pytest

from gproxy.schema.headers import field_problems, hosts_in


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("X-Own", "text with spaces", None),
        ("X-Own", "", None),
        ("Own", "x", "'Own' can't be set"),
        ("OWN", "x", "'OWN' can't be set"),
        ("no name", "x", "'no name' is not a field name"),
        ("", "x", "'' is not a field name"),
        ("X", "a\r\nb", "a value of 'X' is not ASCII text"),
        ("X", " x", "a value of 'X' is not ASCII text"),
        ("X", "ü", "a value of 'X' is not ASCII text"),
    ],
)
def test_fields(name, value, words):
    assert list(field_problems({name: ("right", value)}, {"own"})) == ([] if words is None else [words])


def test_hosts_however_they_are_spelled():
    assert hosts_in({"Host": ("a",), "hOST": ("b", "c"), "X-Host": ("d",)}) == ["a", "b", "c"]
