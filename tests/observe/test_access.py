from __future__ import annotations

import logging
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest

from gproxy.base.address import Address
from gproxy.base.session import Owner, Session, Sniffed
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


def test_what_was_sniffed(log: pytest.LogCaptureFixture) -> None:
    session = Session(9, "tcp", "in", SOURCE, TARGET, sniffed=Sniffed("tls", "site.test", "a client"))
    session.outbound = "out"
    access.finished(session, "ok", 1, 2, 0)
    access.finished(replace(session, sniffed=Sniffed("ssh", client="OpenSSH")), "ok", 1, 2, 0)
    access.finished(replace(session, sniffed=Sniffed("", "known.test")), "ok", 1, 2, 0)
    named, nameless, known = log.records
    assert " name=known.test via out " in known.getMessage()
    assert "protocol" not in facts_of(known)
    assert facts_of(known)["domain"] == "known.test"
    assert "-> example.com:443 tls=site.test via out " in named.getMessage()
    assert "-> example.com:443 ssh via out " in nameless.getMessage()
    assert (facts_of(named)["protocol"], facts_of(named)["domain"]) == ("tls", "site.test")
    assert facts_of(nameless)["protocol"] == "ssh"
    assert "domain" not in facts_of(nameless)


def test_what_was_found_out_about_the_client(log: pytest.LogCaptureFixture) -> None:
    session = Session(9, "tcp", "in", SOURCE, TARGET, owner=Owner("/usr/bin/curl", 1000, "alice"))
    access.finished(session, "ok", 0, 0, 0)
    access.finished(replace(session, owner=Owner("/srv/a\nb", 1001)), "ok", 0, 0, 0)
    neighbour = replace(session, owner=None, source_mac="02:00:00:00:00:07", source_hostname="laptop")
    access.finished(neighbour, "ok", 0, 0, 0)
    assert [record.getMessage().split(" -> ")[0] for record in log.records] == [
        "9 tcp in 192.0.2.7:40000 (curl of alice)",
        "9 tcp in 192.0.2.7:40000 (? of 1001)",
        "9 tcp in 192.0.2.7:40000 (laptop 02:00:00:00:00:07)",
    ]
    first, odd, last = map(facts_of, log.records)
    assert odd["process"] == r"'/srv/a\nb'"
    assert (first["process"], first["process_user"]) == ("/usr/bin/curl", 1000)
    assert (last["source_mac"], last["source_hostname"]) == ("02:00:00:00:00:07", "laptop")
