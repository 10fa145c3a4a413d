from __future__ import annotations

import copy
import pickle
import re
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.schema.fields import ByteSize, Cidr, Duration, IPAddress, Mark, Port, PortRange, RulePortRange, Secret
from gproxy.schema.problem import BadValue, Substituted

ADDRESS = IPAddress.__metadata__[0]
CIDR = Cidr.__metadata__[0]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("300ms", 0.3), ("5s", 5), ("1h30m", 5400), ("1d", 86400), ("1.5h", 5400), ("0", 0), ("1d2h3m4s", 93784),
        ("10us", 1e-5), ("10µs", 1e-5), ("100ns", 1e-7), (".5s", 0.5),
    ],
)  # fmt: skip
def test_durations(text, seconds):
    assert Duration.parse(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "5", "s", "5x", "5 s", "-5s", "1h 30m", "5ss", "1e3s", "٣s", "9" * 30 + "s", "5s" * 99]
)
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(BadValue, match="expected a duration"):
        Duration.parse(text)


def test_a_bare_number_is_no_duration_and_the_hint_says_why():
    with pytest.raises(BadValue) as caught:
        Duration.parse(30)
    assert caught.value.hint == 'with a unit: "30s" is 30 seconds'
    with pytest.raises(BadValue, match="292 years"):
        Duration.parse("200000d")


@given(st.integers(0, 10**9).map(lambda ms: ms / 1000))
def test_a_printed_duration_reads_back(seconds):
    assert Duration.parse(str(Duration(seconds))) == pytest.approx(seconds, rel=1e-5)


@pytest.mark.parametrize(("seconds", "text"), [(300, "5m"), (75, "1m15s"), (0.3, "300ms"), (0, "0s"), (86400, "1d")])
def test_durations_are_printed_short(seconds, text):
    assert str(Duration(seconds)) == text


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ("64 MB", 64_000_000),
        ("512 KiB", 524288),
        ("1.5kb", 1500),
        (7, 7),
        ("7", 7),
        ("1 gib", 2**30),
        (Substituted("9"), 9),
    ],
)
def test_sizes(value, size):
    assert ByteSize.parse(value) == size


@pytest.mark.parametrize("value", ["", "MB", "1 XB", "1 i", "-1", -1, True, 1.5, [], "1" * 40])
def test_what_is_no_size_is_refused(value):
    with pytest.raises(BadValue):
        ByteSize.parse(value)


@pytest.mark.parametrize("value", [-1, 65536, "80", True, 80.0, None, Substituted("x"), Substituted("65536")])
def test_what_is_no_port_is_refused(value):
    with pytest.raises(BadValue, match="port number"):
        Port.parse(value)


def test_ports():
    assert Port.parse(0) == 0
    assert Port.parse(65535) == 65535
    assert Port.parse(Substituted("8080")) == 8080


def test_port_ranges():
    assert PortRange.parse("2000-2010") == (2000, 2010)
    assert RulePortRange.parse("1000:2000") == (1000, 2000)
    assert RulePortRange.parse(":3000") == (0, 3000)
    assert RulePortRange.parse("4000:") == (4000, 65535)


@pytest.mark.parametrize("text", ["2010-2000", "0-5", "1-65536", "1", "1-", "-1", "a-b", "1:2", "1-2-3", "²-3", 5])
def test_what_is_no_port_range_is_refused(text):
    with pytest.raises(BadValue, match="range of ports"):
        PortRange.parse(text)


@pytest.mark.parametrize("text", [":", "", "5", "5:4", "1-2", "1:65536", "::", 5])
def test_what_is_no_rule_port_range_is_refused(text):
    with pytest.raises(BadValue, match="range of ports"):
        RulePortRange.parse(text)


def test_marks():
    assert Mark.parse(5) == 5
    assert Mark.parse("0x2023") == 0x2023
    assert Mark.parse("17") == 17
    for value in (-1, 2**32, "0x1ffffffff", "x", True, 1.0):
        with pytest.raises(BadValue, match="mark"):
            Mark.parse(value)


def test_addresses_and_prefixes():
    assert ADDRESS.parse("::1") == ip_address("::1")
    assert CIDR.parse("10.0.0.1/8") == ip_network("10.0.0.0/8")
    assert CIDR.parse("10.0.0.1") == ip_network("10.0.0.1/32")
    for parse in (ADDRESS.parse, CIDR.parse):
        for value in ("example.org", "1.2.3", "", 1, None):
            with pytest.raises(BadValue, match="expected an IP"):
                parse(value)


@given(st.text(min_size=4))
def test_a_secret_shows_itself_to_nobody(text):
    secret = Secret(text)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>10}", f"{secret!r}", repr([secret])]
    assert all(each.strip("[] ") == "***" for each in shown)
    assert secret.reveal() == text


def test_secrets_compare_by_value_and_are_not_text():
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("ä") == Secret("ä")
    assert Secret("a") != "a"
    assert hash(Secret("a")) == hash(Secret("a"))
    assert not isinstance(Secret("a"), str)
    assert Secret("a")
    assert not Secret("")


def test_a_secret_is_not_written_anywhere():
    with pytest.raises(TypeError):
        pickle.dumps(Secret("hunter2"))
    with pytest.raises(TypeError):
        copy.deepcopy(Secret("hunter2"))
    with pytest.raises(BadValue) as caught:
        Secret.parse(12345678)
    assert "12345678" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (Duration, ["300ms", "1h30m", "0"], ["5", "x"]),
        (PortRange, ["2000-2010"], ["1"]),
        (RulePortRange, ["1:2", ":2", "1:"], [":"]),
    ],
)
def test_schemas_agree_with_the_parsers(kind, good, bad):
    pattern = re.compile(kind.json_schema()["pattern"])
    assert all(pattern.search(text) and kind.parse(text) is not None for text in good)
    assert not any(pattern.search(text) for text in bad)
