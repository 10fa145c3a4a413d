"""The laws of a Decode, for rule sets and databases: what they end with is the end of the file."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Any

from hypothesis import strategies as st

from gproxy.base.errors import ProtocolError
from gproxy.route.formats.adguard import read_adguard
from gproxy.route.formats.geoip import GeoipDb
from gproxy.route.formats.geosite import GeositeDb, write_geosite
from gproxy.route.formats.mihomo import read_mihomo
from gproxy.route.formats.source import read_source, write_source
from gproxy.route.formats.srs import inflate, read_srs, write_srs
from gproxy.route.formats.v2dat import GeoipDat, GeositeDat
from gproxy.route.headless import BadRuleSet, Headless, HeadlessLogical, HeadlessRule, read_rules
from gproxy.route.prefixes import IpRanges
from gproxy.wire.cursor import Cursor, Decode
from tests.laws.registry import Law
from tests.route.formats.made import geoip_dat, geosite_dat
from tests.route.formats.test_srs import ALL
from tests.support.mmdb import mmdb

_HEAD = b"SRS\5"
_LIMIT = 4000


def whole(read: Callable[[bytes], Any]) -> Decode[Any]:
    """A Decode of all bytes that there are, whose complaint is the one that Decodes have."""

    def decode(cursor: Cursor) -> Any:
        try:
            return read(cursor.rest())
        except BadRuleSet as error:
            raise ProtocolError(str(error)) from None

    return decode


def read_body(body: bytes) -> list[Headless]:
    """What is in a binary file once it is inflated."""
    return read_srs(_HEAD + zlib.compress(body, 0)).rules


def write_body(rules: list[Headless]) -> bytes:
    """The same back."""
    return inflate(write_srs(rules)[len(_HEAD) :])


def read_text(data: bytes) -> tuple[int, list[Headless]]:
    """A source file."""
    found = read_source(data)
    return found.version, found.rules


def write_text(found: tuple[int, list[Headless]]) -> bytes:
    """The same back."""
    return write_source(found[1], found[0]).encode()


def read_lists(open_database: Callable[[bytes], Any]) -> Callable[[bytes], dict[str, HeadlessRule]]:
    """All lists of a database; where it can be asked for an address, it is."""

    def read(data: bytes) -> dict[str, HeadlessRule]:
        database = open_database(data)
        found = {code: database.rule(code) for code in list(database.codes())[:20]}
        if hasattr(database, "lookup"):
            database.lookup(IPv4Address("10.0.0.1"))
        return found

    return read


def read_countries(data: bytes) -> dict[str, HeadlessRule]:
    """A database of MaxMind's, whose list of codes may be a lie."""
    try:
        return read_lists(GeoipDb)(data)
    except KeyError:
        return {}


labels = st.text("abcä-", min_size=1, max_size=5)
domains = st.lists(labels, min_size=1, max_size=3).map(".".join)
texts = st.lists(st.text("ab/.é", min_size=1, max_size=6), min_size=1, max_size=3).map(tuple)
ports = st.lists(st.integers(0, 65535), min_size=1, max_size=3).map(tuple)
ranges = st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 99)), min_size=1, max_size=4).map(
    lambda pairs: IpRanges.of([(first, min(first + more, 2**32 - 1)) for first, more in pairs], [(1, 2)])
)


def _sorted(values: list[str]) -> tuple[str, ...]:
    return tuple(sorted(set(values)))


plain_rules = st.one_of(
    st.builds(lambda names: HeadlessRule(domain=_sorted(names)), st.lists(domains, min_size=1, max_size=5)),
    st.builds(lambda names: HeadlessRule(domain_suffix=_sorted(names)), st.lists(domains, min_size=1, max_size=5)),
    st.builds(HeadlessRule, port=ports, invert=st.booleans()),
    st.builds(HeadlessRule, domain_keyword=texts, process_name=texts),
    st.builds(HeadlessRule, ip_cidr=ranges),
)
rules = st.recursive(
    plain_rules,
    lambda inner: st.builds(
        HeadlessLogical, st.sampled_from(["and", "or"]), st.lists(inner, min_size=1, max_size=3).map(tuple)
    ),
    max_leaves=5,
)
many_rules = st.lists(rules, max_size=4)

EVERYTHING = read_rules([ALL, {"type": "logical", "mode": "or", "rules": [ALL, {"domain_suffix": ".x"}]}])
PATTERNS: list[Headless] = [HeadlessRule(adguard_domain=("a*b", "||c.example^"))]
SITES = {"a": HeadlessRule(domain=("x", "y"), domain_regex=("^z",)), "b": HeadlessRule(domain_suffix=("q",))}
SING = mmdb("sing-geoip", {"10.0.0.0/8": "de", "2001:db8::/32": "de"}, ["de"])

DECODES = [
    Law(
        "srs",
        whole(read_srs),
        [(write_srs(each), (5, each)) for each in (EVERYTHING, [], PATTERNS)],
        _LIMIT,
        wrong=[b"SRS\6", b"SR", b"SRS\2x\x9c"],
        encode=lambda found: write_srs(found[1], found[0]),
        closed_by_end=True,
        canonical=False,
    ),
    Law(
        "srs-rules",
        whole(read_body),
        [(write_body(each), each) for each in (EVERYTHING, [], PATTERNS)],
        _LIMIT,
        wrong=[b"\1\2", b"\1\0\x30"],
        encode=write_body,
        values=many_rules,
        closed_by_end=True,
    ),
    Law(
        "rule-set-source",
        whole(read_text),
        [(write_text((3, each)), (3, each)) for each in (EVERYTHING, [])],
        16 * _LIMIT,
        wrong=[b"{]", b"[]", b'{"version":9}'],
        encode=write_text,
        values=st.tuples(st.integers(1, 5), many_rules),
        closed_by_end=True,
    ),
    Law(
        "adguard",
        whole(lambda data: read_adguard(data).rules),
        [(b"||a.example^\n@@|b^\n/x/\n", read_adguard(b"||a.example^\n@@|b^\n/x/\n").rules)],
        _LIMIT,
        wrong=[b"\xff"],
        closed_by_end=True,
    ),
    Law(
        "mihomo",
        whole(lambda data: read_mihomo(data).rules),
        [(text, read_mihomo(text).rules) for text in (b"payload:\n- '+.a'\n", b"AND,((DOMAIN,a),(DST-PORT,1/2-3))\n")],
        _LIMIT,
        wrong=[b"\xff", b"\x28\xb5\x2f\xfd"],
        closed_by_end=True,
    ),
    Law(
        "geosite-db",
        whole(read_lists(GeositeDb)),
        [(write_geosite(SITES), SITES)],
        _LIMIT,
        wrong=[b"\1"],
        encode=write_geosite,
        closed_by_end=True,
        canonical=False,
    ),
    Law(
        "geosite-dat",
        whole(read_lists(GeositeDat)),
        [(geosite_dat({"A": [(3, "x", ["y"])]}), {"a": HeadlessRule(domain=("x",))})],
        _LIMIT,
        wrong=[b"\x0b"],
        closed_by_end=True,
    ),
    Law(
        "geoip-dat",
        whole(read_lists(GeoipDat)),
        [(geoip_dat({"A": ["0.0.0.1/32"]}), {"a": HeadlessRule(ip_cidr=IpRanges(((1, 1),)))})],
        _LIMIT,
        wrong=[b"\x0b"],
        closed_by_end=True,
    ),
    Law(
        "geoip-mmdb",
        whole(read_countries),
        [(SING, read_countries(SING))],
        len(SING) + _LIMIT,
        wrong=[b"\x0b"],
        closed_by_end=True,
    ),
]
