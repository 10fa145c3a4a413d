"""gproxy.route.regex: RE2's dialect, in linear time."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from gproxy.route.regex import RegexError, compile_any, compile_regex


def finds(expressions: list[str], text: str) -> bool:
    return any(search(text.encode()) is not None for search in compile_any(expressions))


@pytest.mark.parametrize(
    ("expression", "text", "found"),
    [
        (r"^stun\..+", "stun.example.org", True),
        (r"^stun\..+", "xstun.example.org", False),
        (r"ads[0-9]+", "x.ads77.org", True),  # a search, not a match of the whole
        (r"(?i)^WWW\.", "www.example.org", True),
        (r"org\z", "example.org", True),  # Python's re says \Z
        (r"[[:digit:]]", "a1.org", True),
        (r"\pL", "a1.org", True),
        (r"(?P<name>a)(?U)b+", "xabb", True),
        ("", "anything", True),
    ],
)
def test_the_dialect_is_that_of_re2(expression, text, found):
    assert (compile_regex(expression)(text.encode()) is not None) == found


@pytest.mark.parametrize("expression", ["(", "(?!a)", r"\1(a)", r"a\Z", "a{1001}", "a**", "((a{500}){500}){500}"])
def test_what_re2_does_not_know_is_refused(expression):
    with pytest.raises(RegexError):
        compile_regex(expression)


def test_the_refusal_says_why():
    with pytest.raises(RegexError, match=r"missing \)"):
        compile_regex("(a")


def test_nothing_is_printed_about_a_bad_expression(capfd):
    with pytest.raises(RegexError):
        compile_regex("(")
    assert capfd.readouterr() == ("", "")


def test_many_expressions_are_few_searches():
    assert len(compile_any([f"^ads{number}x$" for number in range(100)])) == 2


@pytest.mark.parametrize(
    ("expressions", "hit", "miss"),
    [
        (["^a$", "^b$", "^c$"], "c", "d"),
        (["(?i)A", "B"], "a", "b"),  # flags end with their expression
        ([r"\Qa.b", "c.d"], "xa.b", "acd"),  # an open quotation does not swallow the next
        ([r"\Qa", "b", r"\Q("], "x(", "c"),
        ([r"\Qa", r"\Qb\E"], "a", "c"),
        (["(?P<n>a)", "(?P<n>b)"], "b", "c"),  # a name twice
        (["a|b", "^c"], "c", "dc"),
    ],
)
def test_joined_expressions_stay_apart(expressions, hit, miss):
    assert finds(expressions, hit)
    assert not finds(expressions, miss)


def test_too_large_together_is_not_too_large():
    expressions = [f"^{number}([^a]{{1000}}|x){number}$" for number in range(64)]
    assert 1 < len(compile_any(expressions)) < len(expressions)
    assert finds(expressions, "63x63")
    assert not finds(expressions, "63x62")


def test_one_wrong_among_many_is_refused():
    with pytest.raises(RegexError):
        compile_any(["a", "(", "b"])


@pytest.mark.parametrize("expression", ["^(a+)+$", "^(a|a)*$", "(.*)*(.*)*(.*)*c", "(a?){200}a{200}"])
def test_a_hostile_name_takes_no_longer_than_its_length(expression):
    """Python's re needs 2**250 steps for the first."""
    search = compile_regex(expression)
    began = time.process_time()
    for _ in range(10):
        search(b"a" * 252 + b"!")
    assert time.process_time() - began < 2.0


def test_the_library_is_imported_when_it_is_needed():
    code = (
        "import sys; from gproxy.route.rule import Router; from tests.route.kit import options;"
        "Router(options({'domain': 'a.b', 'outbound': 'x'}), 'y'); assert 're2' not in sys.modules;"
        "Router(options({'domain_regex': 'a', 'outbound': 'x'}), 'y'); assert 're2' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
