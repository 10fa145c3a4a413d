from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import ConfigError
from gproxy.base.session import Owner, Session, Sniffed
from gproxy.observe import access
from tests.support.wait import wait_until

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


# -- the access log ----------------------------------------------------------------------------------------------------


@dataclass
class Settings:
    output: str
    format: str = "json"
    sample: float = 1.0


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "access.log"
    access.close()
    access.setup(None)


def session(**more: Any) -> Session:
    return replace(Session(7, "tcp", "in", SOURCE, TARGET), **more)


def test_a_file_of_its_own_whatever_the_level(path: Path, log: pytest.LogCaptureFixture) -> None:
    log.set_level(logging.ERROR, "gproxy.session")
    access.setup(Settings(str(path)))
    access.finished(session(user="ann"), "ok", 12, 345, 1.5)
    access.finished(session(), "protocol-empty", 0, 0, 0, quiet=True)
    (line,) = path.read_text().splitlines()
    entry = json.loads(line)
    assert datetime.fromisoformat(entry.pop("time")).tzinfo is not None
    assert entry == {
        "pid": os.getpid(), "session": 7, "network": "tcp", "inbound": "in", "source": "192.0.2.7:40000",
        "target": "example.com:443", "user": "ann", "up": 12, "down": 345, "seconds": 1.5, "status": "ok",
    }  # fmt: skip
    assert log.records == []


def test_a_line_of_a_form_of_its_own(path: Path) -> None:
    access.setup(Settings(str(path), "$remote_addr $user $status"))
    access.finished(session(user='a"\n'), "ok", 0, 0, 0)
    assert path.read_text() == "192.0.2.7 a\\x22\\x0A ok\n"


def test_of_what_went_well_a_part_can_be_enough(path: Path) -> None:
    access.setup(Settings(str(path), "$session $status", 0.25))
    for number in range(12):
        access.finished(session(id=number), "ok", 0, 0, 0)
    access.finished(session(id=100), "dial-refused", 0, 0, 0)
    assert path.read_text().splitlines() == ["0 ok", "4 ok", "8 ok", "100 dial-refused"]


def test_nothing_of_what_went_well(path: Path) -> None:
    access.setup(Settings(str(path), "$status", 0.0))
    access.finished(session(), "ok", 0, 0, 0)
    access.finished(session(), "auth", 0, 0, 0)
    assert path.read_text() == "auth\n"


@pytest.mark.parametrize(("clients", "kept"), [("network", "192.0.2.0/24"), ("hidden", "-")])
def test_clients_are_nobody_s_business(clients: Any, kept: str, path: Path, log: pytest.LogCaptureFixture) -> None:
    """In both logs, and in what is said of a session's end."""
    access.setup(Settings(str(path)), clients)
    access.finished(session(source_hostname="laptop"), "limit", 0, 0, 0, "192.0.2.7 has enough")
    (record,) = log.records
    text = record.getMessage() + str(facts_of(record)) + path.read_text()
    assert "192.0.2.7" not in text
    assert "40000" not in text
    assert "laptop" not in text
    assert f"{kept} -> example.com:443" in record.getMessage()
    assert f"{kept} has enough" in path.read_text()


def test_text_that_is_no_unicode_loses_no_line(path: Path) -> None:
    access.setup(Settings(str(path)))
    access.finished(session(user="a\ud800"), "ok", 0, 0, 0)
    assert json.loads(path.read_text())["user"] == "a\ud800"


def test_it_goes_on_in_a_new_file(path: Path) -> None:
    access.reopen()  # there is none: nothing to do
    access.start()
    access.setup(Settings(str(path), "$session"))
    access.start()
    access.finished(session(id=1), "ok", 0, 0, 0)
    wait_until(lambda: path.read_text() == "1\n", "not written")
    moved = path.rename(path.with_suffix(".1"))
    access.reopen()
    access.finished(session(id=2), "ok", 0, 0, 0)
    access.close()
    access.finished(session(id=3), "ok", 0, 0, 0)
    assert (moved.read_text(), path.read_text()) == ("1\n", "2\n")


def test_a_full_disk_is_told_now_and_then(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "gproxy.log")
    access.setup(Settings("/dev/full"))
    for _ in range(5):
        access.finished(session(), "ok", 0, 0, 0)
    assert [each.getMessage() for each in caplog.records] == [
        "1 lines of the access log were lost: No space left on device"
    ]
    monkeypatch.setattr(os, "write", lambda fd, data: len(data))
    access.finished(session(), "ok", 0, 0, 0)
    access.finished(session(), "ok", 0, 0, 0)
    assert [each.getMessage() for each in caplog.records[1:]] == [
        "the access log can be written again; 4 more lines were lost"
    ]


def test_a_file_that_is_missing_stops_nobody(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of a worker that is forked again, on a disk that is full or read-only. It is tried again."""
    path = path.parent / "gone" / "access.log"
    access.setup(Settings(str(path), "$session"))
    access.start()
    (record,) = caplog.records
    assert record.getMessage() == f"there is no access log, {path} can't be opened: No such file or directory"
    access.finished(session(id=1), "ok", 0, 0, 0)
    with pytest.raises(FileNotFoundError):
        access.reopen()
    path.parent.mkdir()
    access.reopen()
    access.finished(session(id=2), "ok", 0, 0, 0)
    access.close()
    assert path.read_text() == "2\n"


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    access.probe(None)
    with pytest.raises(ConfigError, match="can't open the access log"):
        access.probe(Settings(str(tmp_path / "no" / "access.log")))
