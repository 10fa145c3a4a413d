from __future__ import annotations

import logging
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest

from gproxy.base.address import Address
from gproxy.base.session import Session
from gproxy.observe import access

SOURCE = Address(IPv4Address("192.0.2.7"), 40000)
TARGET = Address("example.com", 443)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "gproxy.session")
    return caplog


def facts_of(record: logging.LogRecord) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    facts.update(record.facts)  # type: ignore[attr-defined]
    return facts


def test_the_least_that_a_line_tells(log: pytest.LogCaptureFixture) -> None:
    access.finished(Session(7, "tcp", "in", SOURCE, TARGET), "protocol-empty", 0, 0, 0.0004)
    (record,) = log.records
    assert record.getMessage() == ("7 tcp in 192.0.2.7:40000 -> example.com:443 up 0 down 0 in 0.000s protocol-empty")
    assert facts_of(record) == {
        "session": 7, "network": "tcp", "inbound": "in", "source": "192.0.2.7:40000", "target": "example.com:443",
        "up": 0, "down": 0, "seconds": 0.0, "status": "protocol-empty",
    }  # fmt: skip


def test_all_that_a_line_tells(log: pytest.LogCaptureFixture) -> None:
    session = Session(8, "udp", "in", SOURCE, Address(IPv6Address("2001:db8::1"), 53), asked=TARGET, user="ann")
    session.rule, session.outbound = "rules[0]", "out"
    access.finished(session, "ok", 12, 345, 61.23456, "the target broke off")
    (record,) = log.records
    assert record.getMessage() == (
        "8 udp in[ann] 192.0.2.7:40000 -> [2001:db8::1]:53 (asked example.com:443) via out by rules[0] "
        "up 12 down 345 in 61.235s ok: the target broke off"
    )
    assert facts_of(record) == {
        "session": 8, "network": "udp", "inbound": "in", "source": "192.0.2.7:40000", "target": "[2001:db8::1]:53",
        "asked": "example.com:443", "user": "ann", "rule": "rules[0]", "outbound": "out", "up": 12, "down": 345,
        "seconds": 61.235, "status": "ok", "detail": "the target broke off",
    }  # fmt: skip


def test_quiet_ends_are_for_the_debug_level(log: pytest.LogCaptureFixture) -> None:
    session = Session(7, "tcp", "in", SOURCE, TARGET)
    access.finished(session, "ok", 0, 0, 0, quiet=True)
    assert log.records == []
    log.set_level(logging.DEBUG, "gproxy.session")
    access.finished(session, "ok", 0, 0, 0, quiet=True)
    assert log.records[0].levelno == logging.DEBUG


def test_nothing_at_all_below_the_level(log: pytest.LogCaptureFixture) -> None:
    log.set_level(logging.WARNING, "gproxy.session")
    access.finished(Session(7, "tcp", "in", SOURCE, TARGET), "ok", 0, 0, 0)
    assert log.records == []
