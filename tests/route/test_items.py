"""gproxy.route.items: what each match item looks at."""

from __future__ import annotations

import dis
from ipaddress import ip_network

import pytest

from gproxy.base.session import Sniffed
from gproxy.route.cidrs import CidrSet
from gproxy.route.domains import DomainSet
from gproxy.route.groups import AllOf, AnyOf, Not
from gproxy.route.items import (
    AuthUserItem,
    ClientItem,
    DomainItem,
    DomainKeywordItem,
    DomainRegexItem,
    InboundItem,
    IpVersionItem,
    NetworkItem,
    ProtocolItem,
    SourceIpItem,
    SourcePortItem,
    TargetIpItem,
    TargetPortItem,
    domain_of,
)
from gproxy.route.ranges import Ranges, WideRanges
from tests.route.kit import session


def seen(protocol, client=""):
    """A session whose client was sniffed."""
    found = session()
    found.sniffed = Sniffed(protocol, client=client)
    return found


NETS = [ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")]


@pytest.mark.parametrize(
    ("item", "hit", "miss"),
    [
        (InboundItem(["a", "in"]), session(), session(inbound="other")),
        (NetworkItem(["udp"]), session(network="udp"), session()),
        (AuthUserItem(["bob"]), session(user="bob"), session(user="Bob")),
        (AuthUserItem(["bob"]), session(user="bob"), session()),
        (ProtocolItem(["ssh", "tls"]), session(sniffed="a.test"), session()),
        (ProtocolItem(["ssh"]), seen("ssh"), seen("tls")),
        (ClientItem(["chromium"]), seen("quic", "chromium"), seen("quic", "safari")),
        (ClientItem(["chromium"]), seen("quic", "chromium"), session()),
        (IpVersionItem(4), session("1.2.3.4"), session("::1")),
        (IpVersionItem(6), session("::1"), session("1.2.3.4")),
        (IpVersionItem(4), session("::ffff:1.2.3.4"), session(addresses=("1.2.3.4",))),
        (DomainItem(DomainSet(["x.test"], ["example.org"])), session(), session("example.com")),
        (DomainItem(DomainSet(["x.test"], ["example.org"])), session("x.test"), session("a.x.test")),
        (DomainKeywordItem(["zz", "ample"]), session(), session("1.2.3.4")),
        (DomainRegexItem(["zz", r"^www\."]), session(), session("example.org")),
        (DomainRegexItem([""]), session(), session("1.2.3.4")),
        (SourceIpItem(CidrSet(NETS)), session(source="10.1.1.1"), session(source="11.1.1.1")),
        (SourceIpItem(CidrSet(NETS)), session(source="2001:db8::1"), session(source="example.org")),
        (TargetIpItem(CidrSet(NETS)), session("10.1.1.1"), session("11.1.1.1")),
        (TargetIpItem(CidrSet(NETS)), session(addresses=("1.1.1.1", "10.1.1.1")), session()),
        (TargetIpItem(CidrSet(NETS)), session("10.1.1.1"), session("1.1.1.1", addresses=("10.1.1.1",))),
        (SourcePortItem([(1, 9)]), session(source_port=9), session(source_port=10, port=9)),
        (TargetPortItem([(1, 9)]), session(port=1), session(port=0, source_port=9)),
    ],
)
def test_item(item, hit, miss):
    assert item.match(hit) is True
    assert item.match(miss) is False


def test_the_domain_is_the_sniffed_one_if_there_is_one():
    assert domain_of(session("a.test", sniffed="B.test")) == "b.test"
    assert domain_of(session("1.2.3.4", sniffed="b.test")) == "b.test"
    assert domain_of(session("a.test")) == "a.test"
    assert domain_of(session("1.2.3.4")) == ""
    assert DomainItem(DomainSet(["b.test"], [])).match(session("1.2.3.4", sniffed="b.test"))


_MAKERS = {"BUILD_LIST", "BUILD_SET", "BUILD_MAP", "BUILD_TUPLE", "BUILD_SLICE", "MAKE_FUNCTION", "RETURN_GENERATOR"}


@pytest.mark.parametrize(
    "function",
    [
        *(item.match for item in (
            InboundItem, NetworkItem, AuthUserItem, IpVersionItem, DomainItem, DomainKeywordItem, DomainRegexItem,
            SourceIpItem, TargetIpItem, SourcePortItem, TargetPortItem, AllOf, AnyOf, Not,
        )),
        domain_of, DomainSet.__contains__, CidrSet.__contains__, Ranges.__contains__, WideRanges.__contains__,
    ],
    ids=lambda function: function.__qualname__,
)  # fmt: skip
def test_matching_makes_no_list_set_or_generator(function):
    assert not _MAKERS & {instruction.opname for instruction in dis.get_instructions(function)}
