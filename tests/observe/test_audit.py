from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import ConfigError
from gproxy.observe import audit
from gproxy.observe import audit as module
from gproxy.observe.events import Event
from tests.support.audit import AuditFile, Settings
from tests.support.playbook import new_session
from tests.support.wait import wait_until

FAILURE = Event("auth-failure", "refused")
LEFT_OUT = {"event": "left-out", "count": 4, "detail": "auth-failure"}


@pytest.fixture
def log(tmp_path: Path) -> AuditFile:
    return AuditFile(tmp_path)


def test_without_a_table_nothing_is_written() -> None:
    audit.setup(None)
    assert not audit.wanted()
    audit.probe(None)
    audit.start()
    audit.reopen()
    audit.write(FAILURE)
    audit.bounded(FAILURE)
    audit.met("auth-failure", new_session(), "refused")
    audit.close()


def test_acts_and_clients(log: AuditFile) -> None:
    session = new_session(Address.parse("192.0.2.7:9"))
    session.user = "ada"
    with log.open():
        assert audit.wanted()
        audit.write(Event("stop", "ok", "signal"))
        audit.met("auth-success", session, "ok")
    assert log.events() == [
        {"event": "stop", "result": "ok", "by": "signal"},
        {
            "event": "auth-success",
            "result": "ok",
            "source": "192.0.2.7:9",
            "session": 1,
            "inbound": "in",
            "user": "ada",
        },
    ]
    assert not audit.wanted()


def test_a_form_of_its_own_and_clients_that_are_not_shown(log: AuditFile) -> None:
    with log.open("$event $source", clients="network"):
        audit.met("auth-failure", new_session(Address.parse("192.0.2.7:9")), "refused")
    assert log.path.read_text() == "auth-failure 192.0.2.0/24\n"


def test_what_strangers_cause_is_bounded_for_each_kind(log: AuditFile, held_clock: Any) -> None:
    with log.open(rate=3):
        for _ in range(10):
            audit.bounded(FAILURE)
            audit.write(Event("stop"))
        audit.bounded(Event("ban"))
        held_clock.advance(1.0)
        audit.bounded(FAILURE)
    kinds = [each["event"] for each in log.events()]
    assert [kinds.count(each) for each in ("auth-failure", "stop", "ban", "left-out")] == [4, 10, 1, 1]
    assert kinds[-2:] == ["left-out", "auth-failure"], "as soon as the second is over"
    assert [each for each in log.events() if each["event"] == "left-out"] == [
        {"event": "left-out", "count": 7, "detail": "auth-failure"}
    ]


def test_successes_have_no_bound(log: AuditFile) -> None:
    with log.open(rate=1):
        for _ in range(10):
            audit.met("auth-success", new_session(), "ok")
    assert len(log.events()) == 10


def test_what_was_left_out_is_told_although_nothing_comes_any_more(
    log: AuditFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PERIOD", 0.05)
    with log.open(rate=1):
        for _ in range(5):
            audit.bounded(FAILURE)
        wait_until(
            lambda: {"event": "left-out", "count": 4, "detail": "auth-failure"} in log.events(), "it is not told"
        )


def test_what_was_left_out_is_told_at_the_end(log: AuditFile) -> None:
    with log.open(rate=1):
        for _ in range(5):
            audit.bounded(FAILURE)
        assert len(log.events()) == 1
    assert log.events()[1:] == [LEFT_OUT]


def test_it_goes_on_in_a_new_file(log: AuditFile) -> None:
    with log.open("$event"):
        audit.start()
        audit.write(Event("stop"))
        wait_until(lambda: log.path.read_text() == "stop\n", "not written")
        moved = log.path.rename(log.path.with_suffix(".1"))
        audit.reopen()
        audit.write(Event("debug"))
    assert (moved.read_text(), log.path.read_text()) == ("stop\n", "debug\n")


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't open the audit log"):
        audit.probe(Settings(str(tmp_path / "no" / "audit.log")))
