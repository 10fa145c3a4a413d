"""gproxy.wire.http1.target: RFC 9112 section 3.2."""

from __future__ import annotations

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import ProtocolError, Unsupported
from gproxy.wire.http1 import RequestHead, check_host, parse_absolute, parse_authority
from tests.wire.http1.laws_http1 import fields


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (b"example.com:443", "example.com:443"),
        (b"EXAMPLE.com.:1", "example.com:1"),
        (b"192.0.2.1:65535", "192.0.2.1:65535"),
        (b"[2001:db8::1]:443", "[2001:db8::1]:443"),
        (b"my_host:80", "my_host:80"),
    ],
)
def test_authorities(text, address):
    assert parse_authority(text) == Address.parse(address)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"example.com",
        b"example.com:",
        b"example.com:0",
        b"example.com:65536",
        b"example.com:+1",
        b"example.com:0x50",
        b"user@example.com:443",
        b"2001:db8::1:443",
        b"[2001:db8::1]",
        b"[192.0.2.1]:80",
        b"[::1:80",
        b"::1]:80",
        b":443",
        b"a..b:80",
        b"exa%6dple.com:80",
        b"example.com:443/",
        b"http://example.com:443",
        b"a b:80",
        b"a,b:80",
        b"-" * 300 + b":1",
        b"[fe80::1%25eth0]:80",
        b"1.2.3.400:80",
    ],
)
def test_other_authorities_are_refused(text):
    with pytest.raises(ProtocolError):
        parse_authority(text)


@pytest.mark.parametrize(
    ("target", "address", "authority", "origin"),
    [
        (b"http://example.com/a/b?c=d", "example.com:80", b"example.com", b"/a/b?c=d"),
        (b"HTTP://Example.com:8080/", "example.com:8080", b"Example.com:8080", b"/"),
        (b"http://example.com", "example.com:80", b"example.com", b""),
        (b"http://example.com?q", "example.com:80", b"example.com", b"/?q"),
        (b"http://example.com:/x", "example.com:80", b"example.com:", b"/x"),
        (b"ws://[::1]:81/chat", "[::1]:81", b"[::1]:81", b"/chat"),
        (b"http://[::1]/", "[::1]:80", b"[::1]", b"/"),
        (b"http://a/http://b/", "a:80", b"a", b"/http://b/"),
        (b"http://a//b@c", "a:80", b"a", b"//b@c"),
    ],
)
def test_absolute_form(target, address, authority, origin):
    parsed = parse_absolute(target)
    assert (parsed.address, parsed.authority, parsed.origin) == (Address.parse(address), authority, origin)


@pytest.mark.parametrize(
    "target",
    [
        b"http://",
        b"http:///path",
        b"http:/example.com/",
        b"http:example.com",
        b"/",
        b"example.com",
        b"//example.com/",
        b"http://user:password@example.com/",
        b"http://example.com@evil.test/",
        b"http://a:80:90/",
        b"http://a\\b/",
        b"h ttp://a/",
    ],
)
def test_other_absolute_forms_are_refused(target):
    with pytest.raises(ProtocolError) as refusal:
        parse_absolute(target)
    assert not isinstance(refusal.value, Unsupported)


@pytest.mark.parametrize("target", [b"https://example.com/", b"ftp://example.com/", b"wss://example.com/"])
def test_other_schemes_are_told_apart(target):
    with pytest.raises(Unsupported) as refusal:
        parse_absolute(target)
    assert refusal.value.reason == "scheme"


def head(minor, *hosts):
    return RequestHead(b"GET", b"/", minor, fields(*((b"Host", host) for host in hosts)))


@pytest.mark.parametrize(
    "host",
    [b"", b"example.com", b"example.com:8080", b"[::1]:80", b"a_b", b"xn--bcher-kva.test", b"%61"],
)
def test_host_fields(host):
    check_host(head(1, host))


@pytest.mark.parametrize(
    "hosts",
    [(b"a", b"a"), (b"a b",), (b"a/b",), (b"a@b",), (b"a:b",), (b"a\xe9",), (b"a, b",), ()],
)
def test_other_host_fields_are_refused(hosts):
    with pytest.raises(ProtocolError):
        check_host(head(1, *hosts))


def test_http_1_0_may_leave_host_out():
    check_host(head(0))
    with pytest.raises(ProtocolError):
        check_host(head(0, b"a", b"b"))
