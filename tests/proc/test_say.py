from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from gproxy.proc.say import Voice


def test_at_first_it_speaks_on_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    Voice().say("info", "hällo")
    assert capfd.readouterr().err == "info  master: hällo\n"


def test_it_speaks_as_the_log_does(capfd: pytest.CaptureFixture[str]) -> None:
    voice = Voice()
    voice.become({"timestamp": True})
    voice.say("error", "x")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d error master: x\n", capfd.readouterr().err)
    voice.become({"format": "json"})
    voice.say("warn", 'a "quote"\nand a line')
    line = json.loads(capfd.readouterr().err)
    assert line.keys() == {"time", "level", "logger", "message"}
    assert (line["level"], line["logger"], line["message"]) == ("warn", "master", 'a "quote"\nand a line')
    voice.become({"disabled": True})
    voice.say("error", "x")
    assert capfd.readouterr().err == ""


def test_the_least_that_is_written(capfd: pytest.CaptureFixture[str]) -> None:
    voice = Voice()
    voice.become({"level": "warn"})
    for level in ("info", "warn", "error"):
        voice.say(level, "x")
    assert capfd.readouterr().err == "warn  master: x\nerror master: x\n"


def test_a_file_is_opened_for_each_line(tmp_path: Path) -> None:
    """So nothing has to be opened anew after it was moved."""
    path, moved = tmp_path / "log", tmp_path / "log.1"
    voice = Voice()
    voice.become({"output": str(path)})
    voice.say("info", "one")
    path.rename(moved)
    voice.say("info", "two")
    assert (moved.read_text(), path.read_text()) == ("info  master: one\n", "info  master: two\n")
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("name", ["no/such/folder/log", "pipe", "."])
def test_a_log_that_can_t_be_written_stops_nobody(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # nobody reads it
    voice = Voice()
    voice.become({"output": str(tmp_path / name)})
    voice.say("info", "x")


def test_half_a_surrogate_is_no_reason_to_die(capfd: pytest.CaptureFixture[str]) -> None:
    Voice().say("info", "\udc80")
    assert capfd.readouterr().err == "info  master: \\udc80\n"
