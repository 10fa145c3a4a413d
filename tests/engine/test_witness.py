from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from gproxy.engine import witness
from gproxy.engine.witness import Witness
from tests.support.audit import AuditFile
from tests.support.playbook import new_session


class Then:
    """What comes behind it."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def stream(self, session: Any, stream: Any, reply: Any) -> None:
        self.seen.append((session, stream, reply))

    def packets(self, session: Any, conn: Any) -> None:
        self.seen.append((session, conn))


def come(dispatcher: Witness, number: int, user: str | None) -> None:
    session = new_session()
    session.id, session.user = number, user
    dispatcher.stream(session, cast(Any, "stream"), cast(Any, "reply"))


def test_each_session_of_a_user_is_written_once(tmp_path: Path) -> None:
    log, then = AuditFile(tmp_path), Then()
    dispatcher = Witness(then)
    with log.open():
        for number, user in ((1, "ada"), (1, "ada"), (2, None), (2, ""), (3, "ada"), (3, "bob"), (3, "bob")):
            come(dispatcher, number, user)
        session = new_session()
        session.id, session.user = 4, "eve"
        dispatcher.packets(session, cast(Any, "conn"))
    assert [(each["event"], each["session"], each["user"]) for each in log.events()] == [
        ("auth-success", 1, "ada"), ("auth-success", 3, "ada"), ("auth-success", 3, "bob"), ("auth-success", 4, "eve"),
    ]  # fmt: skip
    assert len(then.seen) == 8
    assert then.seen[0][1:] == ("stream", "reply")
    assert then.seen[-1] == (session, "conn")


def test_what_it_remembers_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(witness, "_MOST", 2)
    log = AuditFile(tmp_path)
    dispatcher = Witness(Then())
    with log.open():
        for number in (1, 2, 1, 3, 1):
            come(dispatcher, number, "ada")
    assert [each["session"] for each in log.events()] == [1, 2, 3, 1]
    assert len(dispatcher._known) == 2
