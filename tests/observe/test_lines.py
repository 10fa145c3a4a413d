from __future__ import annotations

import os
from ipaddress import IPv4Address, IPv6Address

import pytest

from gproxy.base.address import UNSPECIFIED, Address
from gproxy.base.session import Owner, Session, Sniffed
from gproxy.observe import lines
from gproxy.observe.lines import FIELDS, Clients, End, compiled, escaped, facts, names_in, shown

SOURCE = Address(IPv4Address("192.0.2.7"), 40000)
TARGET = Address("example.com", 443)
LOCAL = Address(IPv4Address("198.51.100.1"), 1080)


def end(clients: Clients = "whole", **more: object) -> End:
    session = Session(7, "tcp", "in", SOURCE, TARGET, LOCAL)
    for name, value in more.items():
        setattr(session, name, value)
    return End(session, "ok", 12, 345, 1.25, "", 1_800_000_000.25, clients)


@pytest.mark.parametrize(
    ("host", "network"),
    [("192.0.2.7", "192.0.2.0/24"), ("2001:db8:1:2::3", "2001:db8:1::/48"), ("::1", "::/48")],
)
def test_how_much_of_an_address_is_shown(host: str, network: str) -> None:
    source = Address(IPv4Address(host) if "." in host else IPv6Address(host), 40000)
    assert shown(source, "whole") == str(source)
    assert shown(source, "network") == network
    assert shown(source, "hidden") is None


def test_a_client_without_an_address_has_no_network() -> None:
    assert shown(UNSPECIFIED, "network") is None


def test_what_nginx_would_write() -> None:
    line = compiled('$remote_addr - $remote_user [$time_local] "$target" $status $bytes_sent ${session_time}s 100%')
    ended = end(user="ann")
    assert line(ended).startswith("192.0.2.7 - ann [")
    assert line(ended).endswith('] "example.com:443" ok 345 1.250s 100%')


def test_what_has_no_value_is_a_dash() -> None:
    empty = "$user $remote_user $asked $protocol $domain $process $process_user $rule $outbound $detail"
    assert compiled(empty)(end()) == "- - - - - - - - - -"


def test_every_field_has_a_value() -> None:
    full = end(
        user="ann", asked=TARGET, sniffed=Sniffed("tls", "site.test"), owner=Owner("/usr/bin/curl", 1000),
        source_mac="02:00:00:00:00:07", source_hostname="laptop", rule="rules[0]", outbound="out",
    )._replace(detail="why")  # fmt: skip
    for name, (_, text) in FIELDS.items():
        assert compiled(f"${name}")(full) != "-", name
        assert text
    assert compiled("$pid")(full) == str(os.getpid())
    assert compiled("$msec $server_addr:$server_port $remote_port")(full) == "1800000000.250 198.51.100.1:1080 40000"


@pytest.mark.parametrize("clients", ["network", "hidden"])
def test_no_field_tells_what_is_hidden(clients: Clients) -> None:
    full = end(clients, source_mac="02:00:00:00:00:07", source_hostname="laptop")
    text = compiled(" ".join(f"${name}" for name in FIELDS))(full) + str(dict(facts(full)))
    for secret in ("192.0.2.7", "40000", "02:00", "laptop"):
        assert secret not in text
    assert ("192.0.2.0/24" in text) == (clients == "network")


def test_the_fields_in_json_are_those_of_format_strings() -> None:
    full = end(user="ann", asked=TARGET, sniffed=Sniffed("tls", "site.test"), owner=Owner("/usr/bin/curl", 1000))
    assert {name for name, _ in facts(full)} <= FIELDS.keys()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", "-"), (None, "-"), (0, "0"), ("a b", "a b"), ('a"b\\', "a\\x22b\\x5C"), ("a\nb\x1b", "a\\x0Ab\\x1B"),
        ("é", "é"), ("\u2028", "\\xE2\\x80\\xA8"), ("\ud800", "\\xED\\xA0\\x80"),
    ],
)  # fmt: skip
def test_what_a_client_says_begins_no_line_of_its_own(value: object, text: str) -> None:
    assert escaped(value) == text


def test_names() -> None:
    assert names_in("a$b ${c}d$ $$e %") == ["b", "c", "", "", "e"]
    with pytest.raises(KeyError):
        compiled("$nonsense")


def test_a_name_of_its_own_stands_in_braces() -> None:
    assert compiled("${up}bytes")(end()) == "12bytes"
    assert lines.compiled("$up$down")(end()) == "12345"
