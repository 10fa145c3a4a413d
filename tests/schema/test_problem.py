from __future__ import annotations

import datetime

import pytest

from gproxy.schema.problem import dotted, kind_of, near_miss, nearest


def test_a_path_is_written_as_people_write_it():
    assert dotted(("inbounds", 2, "users", 0, "password")) == "inbounds[2].users[0].password"
    assert dotted(()) == ""


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (True, "true or false"), (1, "an integer"), (1.5, "a number"), ("x", "text"), ([], "a list"), ({}, "a table"),
        (None, "null"), (datetime.date(2026, 1, 1), "a date"), (datetime.time(1), "a time"), (b"", "bytes"),
    ],
)  # fmt: skip
def test_kinds_are_told_in_words_and_never_by_value(value, name):
    assert kind_of(value) == name


def test_the_nearest_choice_is_found_despite_case_and_dashes():
    assert nearest("Listen-Prt", ["listen_port", "listen"]) == "listen_port"
    assert near_miss("passwrod", ["username", "password"]) == "did you mean `password`?"
    assert near_miss("zzz", ["username", "password"]) == ""
