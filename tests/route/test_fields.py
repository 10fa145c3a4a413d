"""gproxy.route.fields: the texts that only rules have."""

from __future__ import annotations

import json
from ipaddress import IPv4Address

import pytest

from gproxy.route.fields import (
    ActionName,
    DomainKeyword,
    DomainName,
    DomainRegex,
    DomainSuffix,
    HostText,
    MethodName,
    NetworkName,
    SnifferName,
)
from gproxy.schema.problem import BadValue

PARSE_HOST = HostText.__metadata__[0].parse


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (DomainName, "Example.ORG.", "example.org"),
        (DomainName, "bücher.example", "xn--bcher-kva.example"),
        (DomainSuffix, "ORG", "org"),
        (DomainSuffix, ".Example.org", ".example.org"),
        (DomainKeyword, "ADS-", "ads-"),
        (DomainRegex, r"^a\z", r"^a\z"),
        (NetworkName, "udp", "udp"),
        (ActionName, "route-options", "route-options"),
        (MethodName, "drop", "drop"),
        (SnifferName, "quic", "quic"),
    ],
)
def test_what_is_read(kind, text, value):
    assert kind.parse(text) == value
    assert type(kind.parse(text)) is kind


@pytest.mark.parametrize(
    ("parse", "value", "said"),
    [
        (DomainName.parse, 3, "got an integer"),
        (DomainName.parse, "", "expected a domain"),
        (DomainName.parse, "*.example.org", "expected a domain"),
        (DomainName.parse, "10.0.0.1", "got an IP address"),
        (DomainSuffix.parse, ".", "expected a domain suffix"),
        (DomainSuffix.parse, "..org", "expected a domain suffix"),
        (DomainSuffix.parse, "::1", "got an IP address"),
        (DomainKeyword.parse, "", "in ASCII"),
        (DomainKeyword.parse, "ü", "in ASCII"),
        (DomainKeyword.parse, True, "expected text"),
        (DomainRegex.parse, "(", "missing )"),
        (DomainRegex.parse, ["a"], "got a list"),
        (NetworkName.parse, "icmp", "not supported yet"),
        (NetworkName.parse, "sctp", "expected one of `tcp`, `udp`"),
        (ActionName.parse, None, "expected text"),
        (MethodName.parse, "reply", "not supported yet"),
        (PARSE_HOST, "a b", "expected an IP address or a domain"),
        (PARSE_HOST, 1, "got an integer"),
    ],
)
def test_what_is_refused(parse, value, said):
    with pytest.raises(BadValue) as caught:
        parse(value)
    assert said in str(caught.value)


def test_near_misses_and_hints():
    with pytest.raises(BadValue) as caught:
        ActionName.parse("rejct")
    assert caught.value.hint == "did you mean `reject`?"
    with pytest.raises(BadValue) as caught:
        DomainName.parse("10.0.0.1")
    assert caught.value.hint == "`ip_cidr` is for addresses"


def test_a_host_is_an_address_or_a_domain():
    assert PARSE_HOST("10.0.0.1") == IPv4Address("10.0.0.1")
    assert PARSE_HOST("A.test") == "a.test"


@pytest.mark.parametrize("kind", [DomainName, DomainSuffix, DomainKeyword, DomainRegex, NetworkName, ActionName])
def test_each_has_a_json_schema(kind):
    schema = kind.json_schema()
    assert json.loads(json.dumps(schema)) == schema
    assert "type" in schema or "enum" in schema
