from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.route.formats.adguard import is_domain, read_adguard
from gproxy.route.formats.srs import write_srs
from gproxy.route.headless import BadRuleSet, HeadlessLogical, HeadlessRule


def read(*lines: str):
    return read_adguard("\n".join(lines).encode())


def test_a_list_of_domains_is_just_these():
    found = read("# hosts", "Example.org", "", "0.0.0.0 a.example b.example # both", ":: c.example", "! x")
    assert found.rules == [HeadlessRule(domain=("example.org", "a.example", "b.example", "c.example"))]
    assert (found.kept, dict(found.dropped)) == (4, {})


def test_patterns_are_kept_as_they_are():
    lines = ("||A.example^", "|b.example^", "c.example", "ads.", ".d.example", "-e", "f*g.*", "||h.example^|", "||i|")
    assert read(*lines).rules == [
        HeadlessRule(
            adguard_domain=(
                "||a.example^", "|b.example^", "c.example", "ads", ".d.example", "-e", "f*g.*", "||h.example^", "||i",
            )
        )
    ]  # fmt: skip


def test_expressions():
    assert read("/^ads[0-9]/", "/a$b/", "||x^").rules == [
        HeadlessRule(adguard_domain=("||x^",), domain_regex=("^ads[0-9]", "a$b"))
    ]


def test_a_scheme_is_left_out():
    assert read("https://a.example^").rules == [HeadlessRule(adguard_domain=("||a.example^",))]


def test_the_ranks_of_exceptions_and_of_what_is_important():
    found = read(
        "||plain^", "@@||but^", "||anyway^$important", "@@/^never/$important", "@@||neither^$important",
        "||zero^$dnsrewrite=0.0.0.0,important",
    )  # fmt: skip
    assert found.rules == [
        HeadlessLogical(
            "and",
            (
                HeadlessRule(adguard_domain=("||neither^",), domain_regex=("^never",), invert=True),
                HeadlessLogical(
                    "or",
                    (
                        HeadlessRule(adguard_domain=("||anyway^", "||zero^")),
                        HeadlessLogical(
                            "and",
                            (
                                HeadlessRule(adguard_domain=("||but^",), invert=True),
                                HeadlessRule(adguard_domain=("||plain^",)),
                            ),
                        ),
                    ),
                ),
            ),
        )
    ]


def test_no_rule_asks_nothing():
    assert read("||a^$important", "@@||b^").rules == [HeadlessRule(adguard_domain=("||a^",))]
    assert read("@@||b^$important", "||a^$important").rules == [
        HeadlessLogical(
            "and", (HeadlessRule(adguard_domain=("||b^",), invert=True), HeadlessRule(adguard_domain=("||a^",)))
        )
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("||a^$third-party", "rules with the modifier 'third-party'"),
        ("||a^$important,dnstype=A", "rules with the modifier 'dnstype'"),
        ("||a^$dnsrewrite=1.2.3.4", "rules with the modifier 'dnsrewrite'"),
        ("127.0.0.1 a.example", "hosts lines with another address than 0.0.0.0"),
        ("1.2.3.4", "rules for addresses"),
        ("10.0.", "rules for addresses"),
        ("||1.2.3.4^", "rules for addresses"),
        (r"/^10\.1/", "rules for addresses"),
        (r"/(https?:\/\/)104.1/", "rules for addresses"),
        ("||a.example/x", "rules with a path"),
        ("||a.example?x", "rules with a query"),
        ("a.example##.ad", "rules that change what pages look like"),
        ("a.example#@#.ad", "rules that change what pages look like"),
        ("[Adblock Plus 2.0]", "rules that change what pages look like"),
        ("a~b", "rules with ~"),
        ("||a.example:80^", "rules that name no domain"),
        ("a b c", "rules that name no domain"),
        ("||^", "rules without a domain"),
        (".", "rules without a domain"),
        ("@@", "rules without a domain"),
        ("|", "rules without a domain"),
        ("$important", "rules without a domain"),
        ("||bücher.example^", "rules that name no domain"),
    ],
)
def test_what_has_no_place_is_counted_by_reason(line, reason):
    found = read("||kept^", line, line)
    assert found.rules == [HeadlessRule(adguard_domain=("||kept^",))]
    assert (found.kept, dict(found.dropped)) == (1, {reason: 2})


@pytest.mark.parametrize("lines", [(), ("! nothing",), ("@@||a^",), ("@@||a^$important", "1.2.3.4")])
def test_a_list_that_blocks_nothing_is_refused(lines):
    with pytest.raises(BadRuleSet, match="blocks nothing"):
        read(*lines)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("a", True), ("a.example.", True), ("_dmarc.a-b.example", True), ("1.a", True), ("a" * 63, True),
        ("", False), (".", False), ("a..b", False), (".a", False), ("-a", False), ("a-.b", False), ("a" * 64, False),
        ("1.2.3.4", False), ("12", False), ("bücher", False), ("a b", False), ("a." * 127 + "b", False),
    ],
)  # fmt: skip
def test_the_form_of_a_domain(text, is_one):
    assert is_domain(text) is is_one


@given(st.lists(st.text("ab.*|^/@$#~ 0,=important-", max_size=14), max_size=6))
def test_any_list_becomes_what_can_be_written_or_is_refused(lines):
    try:
        found = read(*lines)
    except BadRuleSet:
        return
    assert found.kept
    write_srs(found.rules, 2)


def test_a_hostile_line_takes_no_time():
    for line in (
        "a-" * 500_000 + "!",
        "a" * 10**6,
        "a." * 500_000,
        "/" + "(" * 10**6,
        "0.0.0.0 " + "a " * 10**5,
        " " * 10**6,
    ):
        assert read("||kept^", line).kept >= 1
