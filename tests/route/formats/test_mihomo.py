from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.route.formats.mihomo import read_mihomo
from gproxy.route.formats.srs import write_srs
from gproxy.route.headless import BadRuleSet, HeadlessLogical, HeadlessRule
from gproxy.route.prefixes import read_prefixes


def read(text: str, behaviour=None):
    return read_mihomo(text.encode(), behaviour)


def test_domains_as_text():
    found = read("# x\n// y\n+.A.example\n.b.example\nc.example\n\n")
    assert found.rules == [HeadlessRule(domain=("c.example",), domain_suffix=("a.example", ".b.example"))]
    assert found.kept == 3


def test_domains_as_yaml():
    text = """# x
payload:  # the list
  - '+.a.example'
  - ".b.example"  # y
  - c.example # z
  # - d.example
  - 'it''s'
-  e.example
- #
"""
    assert read(text).rules == [
        HeadlessRule(domain=("c.example", "it's", "e.example"), domain_suffix=("a.example", ".b.example"))
    ]


@pytest.mark.parametrize(
    ("pattern", "has", "has_not"),
    [
        ("*.a.b", ["x.a.b"], ["a.b", "x.y.a.b", "x.axb", "x.a.b.c"]),
        ("a.*.b", ["a.x.b"], ["a.b", "a.x.y.b"]),
        ("+.*.a", ["x.a", "y.x.a", "z.y.x.a"], ["a"]),
        (".*.a", ["y.x.a"], ["x.a", "a"]),
        ("*", ["localhost"], ["a.b"]),
    ],
)
def test_wildcards_stand_for_one_label(pattern, has, has_not):
    [rule] = read(pattern, "domain").rules
    [expression] = rule.domain_regex
    assert [name for name in (*has, *has_not) if re.search(expression, name)] == has


def test_what_is_no_domain_is_counted():
    found = read("a.example\nb/c\nd..e\nf.\n", "domain")
    assert (found.kept, found.dropped) == (1, {"entries that are no domain": 3})


def test_addresses():
    found = read("10.0.0.0/8\n::1\n")
    assert found.rules == [HeadlessRule(ip_cidr=read_prefixes(["10.0.0.0/8", "::1"]))]
    found = read("payload:\n- 1.2.3.4/32\n- x\n", "ipcidr")
    assert (found.kept, found.dropped) == (1, {"entries that are no IP prefix": 1})


CLASSICAL = """
DOMAIN,A.example
DOMAIN-SUFFIX,b.example,some,thing
DOMAIN-KEYWORD,c
DOMAIN-REGEX,^d{1,2}
DOMAIN-WILDCARD,*.e?.example
IP-CIDR,10.0.0.0/8,no-resolve
IP-CIDR6,2001:db8::/32
IP-CIDR,11.0.0.0/8,src
SRC-IP-CIDR,12.0.0.0/8
SRC-PORT,1000-2000
DST-PORT,80/443/[8000-8100]/1-2
NETWORK,UDP
PROCESS-NAME,curl
PROCESS-PATH,/usr/bin/curl
PROCESS-PATH-REGEX,^/usr
PROCESS-PATH-WILDCARD,/opt/*/x
PROCESS-NAME-WILDCARD,*tele?ram
"""


def test_rules_of_any_kind():
    found = read(CLASSICAL.replace("[", "").replace("]", ""))
    assert found.rules == [
        HeadlessRule(
            domain=("a.example",),
            domain_suffix=("b.example",),
            domain_keyword=("c",),
            domain_regex=("^d{1,2}", r"^.*\.e.\.example$"),
            ip_cidr=read_prefixes(["10.0.0.0/8", "2001:db8::/32"]),
        ),
        HeadlessRule(source_ip_cidr=read_prefixes(["11.0.0.0/8", "12.0.0.0/8"])),
        HeadlessRule(source_port_range=("1000:2000",)),
        HeadlessRule(port=(80, 443), port_range=("8000:8100", "1:2")),
        HeadlessRule(network=("udp",)),
        HeadlessRule(process_name=("curl",)),
        HeadlessRule(process_path=("/usr/bin/curl",)),
        HeadlessRule(process_path_regex=("^/usr", "^/opt/.*/x$", "(?i)(?:^|/)[^/]*tele[^/]ram$")),
    ]
    assert not found.dropped


def test_logical_rules():
    found = read("AND,((NETWORK,udp),(OR,((DST-PORT,443),(NOT,((DOMAIN,a(b)))))))\nNOT,((DOMAIN,c))\n")
    assert found.rules == [
        HeadlessLogical(
            "and",
            (
                HeadlessRule(network=("udp",)),
                HeadlessLogical(
                    "or",
                    (
                        HeadlessRule(port=(443,)),
                        HeadlessLogical("and", (HeadlessRule(domain=("a(b)",)),), invert=True),
                    ),
                ),
            ),
        ),
        HeadlessLogical("and", (HeadlessRule(domain=("c",)),), invert=True),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("GEOIP,CN", "GEOIP rules"),
        ("a.example", "entries without a type"),
        ("DOMAIN,", "rules without a value"),
        ("DOMAIN, ,x", "rules without a value"),
        ("IP-CIDR,10.0.0.0/33", "entries that are no IP prefix"),
        ("DST-PORT,80/x", "rules with malformed ports"),
        ("DST-PORT,70000", "rules with malformed ports"),
        ("DST-PORT,2-1", "rules with malformed ports"),
        ("NETWORK,icmp", "rules for other networks"),
        ("AND,((DOMAIN,a),(GEOIP,CN))", "GEOIP rules"),
        ("AND,DOMAIN,a", "logical rules that are malformed"),
        ("AND,((DOMAIN,a)", "logical rules that are malformed"),
        ("AND,((DOMAIN,a)))", "logical rules that are malformed"),
        ("AND,((DOMAIN,a))()", "logical rules that are malformed"),
        ("AND,()", "AND rules that are malformed"),
        ("NOT,((DOMAIN,a),(DOMAIN,b))", "NOT rules that are malformed"),
        ("NOT,((" * 20 + "DOMAIN,a" + "))" * 20, "rules nested too deep"),
    ],
)
def test_what_has_no_place_is_counted_by_reason(line, reason):
    found = read(f"DOMAIN,kept\n{line}\n{line}\n")
    assert found.rules == [HeadlessRule(domain=("kept",))]
    assert (found.kept, dict(found.dropped)) == (1, {reason: 2})


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "nothing that a rule can name"),
        (b"payload:\n", "nothing that a rule can name"),
        (b"GEOIP,CN\n", "nothing that a rule can name"),
        (b'payload:\n- "a\n', "a text in YAML"),
        (b"\x28\xb5\x2f\xfd\x00", "a .mrs file"),
        (b"\xff", "UTF-8"),
    ],
)
def test_what_is_no_list_is_refused(data, said):
    with pytest.raises(BadRuleSet, match=said):
        read_mihomo(data)


@given(
    st.lists(st.text("AND,OT()DOMAIN-.+*'\" #:payload0/", max_size=20), max_size=6),
    st.sampled_from([None, "domain", "ipcidr", "classical"]),
)
def test_any_list_becomes_what_can_be_written_or_is_refused(lines, behaviour):
    try:
        found = read("\n".join(lines), behaviour)
    except BadRuleSet:
        return
    assert found.kept
    write_srs(found.rules, 2)


def test_a_hostile_line_takes_no_time():
    for line in (
        "- a" + " " * 10**6 + "b",
        "a." * 10**6,
        "AND," + "(" * 10**6,
        "DST-PORT," + "1/" * 10**5,
        "- '" + "''" * 10**6,
    ):
        for behaviour in ("domain", "classical"):
            try:
                read(f"payload:\n- DOMAIN,kept\n{line}", behaviour)
                read(f"DOMAIN,kept\n{line}", behaviour)
            except BadRuleSet:
                continue
