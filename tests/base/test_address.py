from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.base.address import (
    MAX_DOMAIN,
    UNSPECIFIED,
    Address,
    ip_from_packed,
    parse_host,
    parse_ip,
    parse_port,
)

FOUR = IPv4Address("192.0.2.1")
SIX = IPv6Address("2001:db8::1")

labels = st.from_regex(r"[a-z0-9_]([a-z0-9_-]{0,10}[a-z0-9])?", fullmatch=True)
domains = st.builds(lambda parts, last: ".".join([*parts, "x" + last]), st.lists(labels, max_size=6), labels)
ips = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6).filter(lambda ip: ip.ipv4_mapped is None))
ports = st.integers(0, 65535)


@pytest.mark.parametrize(
    ("text", "ip"),
    [
        ("192.0.2.1", FOUR),
        ("2001:db8::1", SIX),
        ("2001:DB8:0:0::1", SIX),
        ("::ffff:192.0.2.1", FOUR),
        ("fe80::1%eth0", IPv6Address("fe80::1")),
    ],
)
def test_ip_literals(text: str, ip: object) -> None:
    assert parse_ip(text) == ip
    assert parse_host(text) == ip


@pytest.mark.parametrize("text", ["", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.256", "1.2.3.4 ", ":", "[::1]", "a.b"])
def test_no_ip_literals(text: str) -> None:
    with pytest.raises(ValueError):
        parse_ip(text)


def test_packed_addresses() -> None:
    assert ip_from_packed(FOUR.packed) == FOUR
    assert ip_from_packed(SIX.packed) == SIX
    assert ip_from_packed(bytes(10) + b"\xff\xff" + FOUR.packed) == FOUR
    with pytest.raises(ValueError):
        ip_from_packed(bytes(5))


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("Example.COM", "example.com"),
        ("example.com.", "example.com"),
        ("localhost", "localhost"),
        ("_dns.resolver.arpa", "_dns.resolver.arpa"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
        ("a" * 63 + ".b", "a" * 63 + ".b"),
        ("1.2.3.4.example", "1.2.3.4.example"),
        ("0xample", "0xample"),
    ],
)
def test_domains(text: str, domain: str) -> None:
    assert parse_host(text) == domain


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "..", "a..b", ".a", "a b", "a/b", "a:b", "a\0b", "a\nb", "a@b", "user:pw@a", "*", "[a]", "[]",
        "[1.2.3", "a" * 64 + ".b", ".".join(["a" * 49] * 6), "1.2.3.300", "1.2.3.4.", "256", "0x7f000001", "0x7f.0x1",
        "127.0x0", "\ud800.example", "ü" * 60,
    ],
)  # fmt: skip
def test_neither_an_ip_nor_a_domain(text: str) -> None:
    with pytest.raises(ValueError):
        parse_host(text)


@pytest.mark.parametrize("text", ["faß.example", "ὀδυσσεύς.example", "a\u200cb.example", "a\u200db.example"])
def test_what_would_be_another_name_elsewhere(text: str) -> None:
    with pytest.raises(ValueError, match="write it as `xn--"):
        parse_host(text)


def test_full_width_digits_are_no_way_around_the_parser() -> None:
    with pytest.raises(ValueError):
        parse_host("１２７.０.０.１")


def test_the_longest_domain() -> None:
    name = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
    assert len(name) == MAX_DOMAIN
    assert parse_host(name) == name
    with pytest.raises(ValueError):
        parse_host(name + "d")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1:80", Address(FOUR, 80)),
        ("[2001:db8::1]:443", Address(SIX, 443)),
        ("example.com:0", Address("example.com", 0)),
        ("Example.com.:65535", Address("example.com", 65535)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert Address.parse(text) == address
    assert Address.parse(text, 99) == address


@pytest.mark.parametrize(
    ("text", "host"),
    [("192.0.2.1", FOUR), ("2001:db8::1", SIX), ("[2001:db8::1]", SIX), ("example.com", "example.com")],
)
def test_a_default_port(text: str, host: object) -> None:
    assert Address.parse(text, 99) == Address(host, 99)  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        Address.parse(text)


@pytest.mark.parametrize(
    "text",
    ["", ":", ":80", "a:", "a:b", "a:-1", "a:+1", "a:65536", "a: 80", "a:80 ", "a:８０", "a:080000", "[::1", "[::1]80",
     "[::1]:", "::1]:80", "[[::1]]:80", "[a]:80", "a:80:80"],
)  # fmt: skip
def test_no_addresses(text: str) -> None:
    with pytest.raises(ValueError):
        Address.parse(text)


@given(st.one_of(ips, domains), ports)
def test_what_is_written_is_read_again(host: object, port: int) -> None:
    address = Address(host, port)  # type: ignore[arg-type]
    assert Address.parse(str(address)) == address


@given(st.one_of(st.text(max_size=40), st.text("0123456789abcdefx.:[]-%_", max_size=40)))
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    try:
        address = Address.parse(text, 80)
    except ValueError:
        return
    assert Address.parse(str(address)) == address
    assert 0 <= address.port <= 65535


@given(st.one_of(st.text(max_size=80), domains, st.text("0123456789abcdefx.-_", max_size=300)))
def test_a_domain_can_always_be_looked_up(text: str) -> None:
    """The system's resolver is handed nothing that it would choke on."""
    try:
        host = parse_host(text)
    except ValueError:
        return
    if isinstance(host, str):
        assert host == host.lower()
        assert host.isascii()
        assert 0 < len(host.encode("idna")) <= MAX_DOMAIN


@pytest.mark.parametrize("text", ["0", "80", "65535", "00080"])
def test_ports(text: str) -> None:
    assert parse_port(text) == int(text)


@pytest.mark.parametrize("text", ["", "-1", "65536", "99999", "000080", "1e3", "0x50", "²", "٣", " 1", "1\n"])
def test_no_ports(text: str) -> None:
    with pytest.raises(ValueError):
        parse_port(text)


def test_kinds_of_address() -> None:
    assert Address("a", 1).is_domain
    assert not Address(FOUR, 1).is_domain
    assert str(UNSPECIFIED) == "0.0.0.0:0"
