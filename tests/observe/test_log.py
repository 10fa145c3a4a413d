from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gproxy.base.address import UNSPECIFIED
from gproxy.base.session import Session
from gproxy.observe import access
from gproxy.observe.lines import timestamp
from gproxy.observe.log import LEVELS, HumanFormatter, JsonFormatter, setup
from gproxy.observe.sink import Sink
from gproxy.schema.fields import Secret


@dataclass
class Settings:
    disabled: bool = False
    level: str = "info"
    output: str = ""
    timestamp: bool = False
    format: str = "human"


@pytest.fixture(autouse=True)
def logger() -> Iterator[logging.Logger]:
    """The logger, put back as it was."""
    logger = logging.getLogger("gproxy")
    before = logger.handlers[:], logger.level, logger.propagate, logger.disabled
    flags = logging.logThreads, logging.logProcesses, logging.logMultiprocessing
    yield logger
    logger.handlers[:], logger.level, logger.propagate, logger.disabled = before
    logging.logThreads, logging.logProcesses, logging.logMultiprocessing = flags
    logger.setLevel(before[1])


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Callable[[], str]]]:
    """Sets the log up with these settings, and gives what reads it."""
    sinks: list[Sink] = []

    def start(**settings: Any) -> Callable[[], str]:
        path = tmp_path / "log"
        sinks.append(setup(Settings(output=str(path), **settings)))
        return lambda: path.read_text("utf-8")

    yield start
    for sink in sinks:
        sink.close()


def record(message: str, *args: object, level: int = logging.INFO, name: str = "gproxy.app", **rest: Any) -> Any:
    return logging.LogRecord(name, level, "", 0, message, args, rest.get("exc_info"))


def test_human_lines(start: Callable[..., Callable[[], str]]) -> None:
    read = start(level="debug")
    log = logging.getLogger("gproxy.net.listen")
    log.info("listening on %s", "x")
    log.debug("a detail")
    log.warning("careful")
    logging.getLogger("gproxy").error("of the house itself")
    assert read().splitlines() == [
        "info  net.listen: listening on x",
        "debug net.listen: a detail",
        "warn  net.listen: careful",
        "error gproxy: of the house itself",
    ]


def test_human_lines_with_their_time(start: Callable[..., Callable[[], str]]) -> None:
    read = start(timestamp=True)
    logging.getLogger("gproxy.app").info("x")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d info  app: x\n", read())


def test_colours_are_for_people() -> None:
    assert HumanFormatter(timestamp=False, colour=True).format(record("x")) == "\x1b[36minfo \x1b[0m app: x"


@pytest.mark.parametrize("hostile", ["a\nb", "a\r\nb", "a\x1b[2Jb", "a\0b", "a\x7fb", "a\x85b", "a\u2028b", "a\x9bb"])
def test_a_client_cannot_write_lines_of_its_own(hostile: str) -> None:
    """A user name may hold anything: it must neither begin a line nor speak to a terminal."""
    text = HumanFormatter(timestamp=False, colour=False).format(record("user %s", hostile))
    assert len(text.splitlines()) == 1
    assert text.isprintable()
    assert text.startswith("info  app: user a")


def test_json_lines(start: Callable[..., Callable[[], str]]) -> None:
    read = start(format="json")
    logging.getLogger("gproxy.app").warning("a\nb %d", 7)
    entry = json.loads(read())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT.*", entry.pop("time"))
    assert entry == {"level": "warn", "logger": "app", "message": "a\nb 7"}


def test_a_session_is_told_in_fields(start: Callable[..., Callable[[], str]]) -> None:
    read = start(format="json")
    access.finished(Session(7, "tcp", "in", UNSPECIFIED, UNSPECIFIED, user="ann"), "ok", 1, 2, 0.5)
    entry = json.loads(read())
    assert {key: entry[key] for key in ("session", "user", "up", "down", "seconds", "status")} == {
        "session": 7, "user": "ann", "up": 1, "down": 2, "seconds": 0.5, "status": "ok",
    }  # fmt: skip


@pytest.mark.parametrize("text", ["\ud800", "\udcff name", "\0", "\u2028", '"\\'])
def test_every_text_can_be_logged(start: Callable[..., Callable[[], str]], text: str) -> None:
    read = start(format="json")
    logging.getLogger("gproxy.app").info("user %s", text)
    access.finished(Session(7, "tcp", "in", UNSPECIFIED, UNSPECIFIED, user=text), "ok", 1, 2, 0.5)
    lines = read().splitlines() if text != "\u2028" else read().rstrip("\n").split("\n")
    assert len(lines) == 2
    assert json.loads(lines[1])["session"] == 7
    read = start(format="human")
    logging.getLogger("gproxy.app").info("user %s", text)


@pytest.mark.parametrize("form", ["human", "json"])
def test_an_exception_is_logged_with_its_trace(start: Callable[..., Callable[[], str]], form: str) -> None:
    read = start(format=form)
    try:
        _ = 1 // 0
    except ZeroDivisionError:
        logging.getLogger("gproxy.app").exception("failed")
    text = read() if form == "human" else json.loads(read())["trace"]
    assert "ZeroDivisionError" in text
    assert "test_log.py" in text


@pytest.mark.parametrize("form", ["human", "json"])
def test_a_secret_is_never_shown(start: Callable[..., Callable[[], str]], form: str) -> None:
    read = start(format=form)
    secret = Secret("hunter2")
    logging.getLogger("gproxy.app").info("%s %r %s", secret, secret, {"password": secret})
    assert "hunter2" not in read()
    assert read().count("\n") == 1


@pytest.mark.parametrize("level", LEVELS)
def test_the_level_is_the_least_that_is_written(start: Callable[..., Callable[[], str]], level: str) -> None:
    read = start(level=level)
    log = logging.getLogger("gproxy.app")
    for name, number in LEVELS.items():
        log.log(number, name)
    assert len(read().splitlines()) == sum(number >= LEVELS[level] for number in LEVELS.values())


def test_a_disabled_log_says_nothing(start: Callable[..., Callable[[], str]]) -> None:
    read = start(disabled=True)
    logging.getLogger("gproxy.app").critical("x")
    logging.getLogger("gproxy").critical("x")
    assert read() == ""


def test_a_second_set_up_replaces_the_first(start: Callable[..., Callable[[], str]], logger: logging.Logger) -> None:
    start()
    read = start(format="json")
    logging.getLogger("gproxy.app").info("once")
    assert read().count("once") == 1
    assert len(logger.handlers) == 1


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        setup(Settings(output=str(tmp_path / "no" / "such" / "folder")))


def test_other_libraries_are_not_silenced(start: Callable[..., Callable[[], str]]) -> None:
    start()
    stream = io.StringIO()
    other = logging.getLogger("somebody.else")
    handler = logging.StreamHandler(stream)
    other.addHandler(handler)
    other.warning("x")
    other.removeHandler(handler)
    assert stream.getvalue() == "x\n"


def test_the_second_is_remembered_and_the_milliseconds_are_not() -> None:
    first, second, third = timestamp(1_700_000_000.25), timestamp(1_700_000_000.999), timestamp(1_700_000_001.0)
    assert (first[19:23], second[19:23], third[19:23]) == (".250", ".999", ".000")
    assert first[:19] == second[:19] != third[:19]


def test_json_needs_no_set_up() -> None:
    assert json.loads(JsonFormatter().format(record("x")))["message"] == "x"


def test_lost_lines_are_told_in_the_log_s_own_form(tmp_path: Path) -> None:
    sink = setup(Settings(output=str(tmp_path / "log"), format="json"))
    told = json.loads(sink.tell_lost(7))
    assert (told["level"], told["message"].startswith("7 log lines were lost")) == ("warn", True)


def test_no_colour_where_the_variable_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sink, "is_terminal", True)
    for value, colour in (("", True), ("1", False)):
        monkeypatch.setenv("NO_COLOR", value)
        assert ("\x1b[" in setup(Settings()).tell_lost(1)) == colour
