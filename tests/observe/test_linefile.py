from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from gproxy.base.errors import ConfigError
from gproxy.observe.linefile import LineFile, probe
from tests.support.wait import wait_until


def test_it_goes_on_in_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    file = LineFile("audit log", str(path))
    file.start()
    file.write("1")
    wait_until(lambda: path.read_text() == "1\n", "not written")
    moved = path.rename(tmp_path / "a.log.1")
    file.reopen()
    file.write("2")
    file.close()
    assert (moved.read_text(), path.read_text()) == ("1\n", "2\n")


def test_a_full_disk_is_told_now_and_then(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    caplog.set_level(logging.INFO, "gproxy.log")
    file = LineFile("audit log", "/dev/full")
    for _ in range(5):
        file.write("x")
    monkeypatch.setattr(os, "write", lambda fd, data: len(data))
    file.write("x")
    assert [each.getMessage() for each in caplog.records] == [
        "1 lines of the audit log were lost: No space left on device",
        "the audit log can be written again; 4 more lines were lost",
    ]
    file.close()


@pytest.mark.parametrize("started", [False, True])
def test_a_file_that_is_missing_stops_nobody(started: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "gone" / "a.log"
    file = LineFile("audit log", str(path))
    if started:
        file.start()
    assert [each.getMessage() for each in caplog.records] == [
        f"there is no audit log, {path} can't be opened: No such file or directory"
    ]
    file.write("1")
    with pytest.raises(FileNotFoundError):
        file.reopen()
    path.parent.mkdir()
    file.reopen()
    file.write("2")
    file.close()
    assert path.read_text() == "2\n"


def test_one_that_was_never_there_is_closed_as_well(tmp_path: Path) -> None:
    LineFile("audit log", str(tmp_path / "gone" / "a.log")).close()


def test_whether_it_can_be_opened(tmp_path: Path) -> None:
    probe("audit log", str(tmp_path / "a.log"))
    with pytest.raises(ConfigError, match=r"can't open the audit log .*: No such file or directory"):
        probe("audit log", str(tmp_path / "gone" / "a.log"))
