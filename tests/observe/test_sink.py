from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gproxy.observe import sink as room
from gproxy.observe.sink import Sink
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def sink(path: Path) -> Iterator[Sink]:
    sink = Sink(str(path))
    yield sink
    close(sink)


@pytest.fixture
def full(path: Path) -> Iterator[int]:
    """A pipe that nobody reads, in the place of the file; its reading end."""
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    filler = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    fcntl.fcntl(filler, fcntl.F_SETPIPE_SZ, 4096)
    try:
        while True:
            os.write(filler, b"." * 4096)
    except BlockingIOError:
        pass
    os.close(filler)
    yield reader
    os.close(reader)


def close(sink: Sink) -> None:
    """Close it with its descriptor, which lives as long as the process does."""
    sink.close()
    os.close(sink._fd)


def drain(reader: int) -> bytes:
    data = b""
    try:
        while piece := os.read(reader, 65536):
            data += piece
    except BlockingIOError:
        pass
    return data


def test_before_the_start_and_after_the_end_lines_are_written_at_once(sink: Sink, path: Path) -> None:
    sink.write("first")
    assert path.read_text() == "first\n"
    sink.start()
    sink.close()
    sink.write("last")
    assert path.read_text() == "first\nlast\n"


def test_in_between_a_writer_does_it_in_order(sink: Sink, path: Path) -> None:
    sink.start()
    for number in range(1000):
        sink.write(f"line {number}")
    wait_until(lambda: path.read_text().count("\n") == 1000, "lines are missing")
    sink.write("one more")
    wait_until(lambda: path.read_text().count("\n") == 1001, "the writer has stopped")
    assert path.read_text().splitlines() == [*(f"line {number}" for number in range(1000)), "one more"]


def test_the_close_writes_what_is_left(sink: Sink, path: Path) -> None:
    sink.start()
    sink.write("a")
    sink.write("b")
    sink.close()
    assert path.read_text() == "a\nb\n"


def test_an_existing_file_is_continued_and_private(path: Path) -> None:
    path.write_text("before\n")
    sink = Sink(str(path))
    sink.write("after")
    close(sink)
    assert path.read_text() == "before\nafter\n"


def test_a_new_file_is_not_for_everybody(sink: Sink, path: Path) -> None:
    assert path.stat().st_mode & 0o007 == 0


def test_it_goes_on_in_a_new_file(sink: Sink, path: Path) -> None:
    sink.start()
    sink.write("old")
    wait_until(lambda: path.read_text() == "old\n", "not written")
    moved = path.rename(path.with_suffix(".1"))
    sink.reopen()
    sink.write("new")
    sink.close()
    assert (moved.read_text(), path.read_text()) == ("old\n", "new\n")


def test_a_reopened_file_keeps_its_descriptor(sink: Sink) -> None:
    """A native thread may be about to write to it: its number must never come to mean a client's socket."""
    before = sink._fd
    sink.reopen()
    assert sink._fd == before
    assert fcntl.fcntl(sink._fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC


def test_a_reopening_that_fails_keeps_the_old_file(sink: Sink, path: Path) -> None:
    moved = path.rename(path.with_suffix(".1"))
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        sink.reopen()
    sink.write("still here")
    assert moved.read_text() == "still here\n"


def test_standard_error_is_not_opened_anew(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    class Stderr:
        def fileno(self) -> int:
            return 2

    monkeypatch.setattr("sys.stderr", Stderr())
    sink = Sink()
    sink.reopen()
    sink.write("x")
    sink.close()
    os.fstat(2)
    assert not sink.is_terminal
    assert capfd.readouterr().err == "x\n"


def test_a_log_that_nobody_reads_stops_nobody(full: int, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_LINES", 50)
    monkeypatch.setattr(room, "_PAUSE", 0.001)
    sink = Sink(str(path))
    sink.start()
    sink.write("held up")
    wait_until(lambda: not sink._lines, "the writer does not begin")
    began = time.monotonic()
    for number in range(200):
        sink.write(f"line {number}")
    assert time.monotonic() - began < 0.5
    assert len(sink._lines) == 50
    text = b""

    def all_of_it() -> bool:
        nonlocal text
        text += drain(full)
        return b"were lost" in text

    wait_until(all_of_it, "the lines that were kept do not come")
    assert b"held up\nline 0\n" in text
    assert b"line 49\n150 log lines were lost" in text
    close(sink)


def test_a_log_that_nobody_reads_does_not_hold_up_the_end(
    full: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_LAST_BATCH", 0.05)
    sink = Sink(str(path))
    sink.start()
    sink.write("held up")
    wait_until(lambda: not sink._lines, "the writer does not begin")
    sink.write("last words")
    began = time.monotonic()
    sink.close()
    sink.write("nobody waits for this one")
    assert time.monotonic() - began < 1.5
    text = drain(full)
    wait_until(lambda: b"held up" in text or b"held up" in drain(full), "the line under way is lost")
    close(sink)


def test_a_disk_that_is_full_stops_nobody(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, "write", write)
    sink.write("lost")


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Sink(str(tmp_path / "no" / "log"))


def test_text_that_is_no_unicode_is_written_all_the_same(sink: Sink, path: Path) -> None:
    sink.write("a \ud800 b")
    assert path.read_text() == "a \\ud800 b\n"


def test_lines_that_a_full_disk_has_lost_are_told_when_there_is_room(
    sink: Sink, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line that was cut stays cut, and what follows is no part of it."""
    real, room_left = os.write, 3

    def write(fd: int, data: bytes) -> int:
        nonlocal room_left
        if not room_left:
            raise OSError(errno.ENOSPC, "no space left on device")
        written = real(fd, data[:room_left])
        room_left -= written
        return written

    monkeypatch.setattr(os, "write", write)
    sink.write("first")
    sink.write("second")
    assert path.read_text() == "fir"
    room_left = 1 << 20
    sink.start()
    sink.write("third")
    sink.close()
    assert path.read_text() == "fir\nthird\n2 log lines were lost\n"


def test_a_loss_is_told_until_that_is_written(sink: Sink, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line that tells of it may be lost as well: it does not count, and the next one tells more."""
    real, full = os.write, True

    def write(fd: int, data: bytes) -> int:
        if full:
            raise OSError(errno.ENOSPC, "no space left on device")
        return real(fd, data)

    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(room, "_PAUSE", 0.001)
    sink.start()
    for count in (1, 2, 3):
        sink.write("lost")
        wait_until(lambda count=count: sink._lost == count, lambda: f"{sink._lost} lost")  # type: ignore[misc]
    full = False
    sink.write("here")
    sink.close()
    assert path.read_text() == "here\n3 log lines were lost\n"


def test_who_wants_to_know_is_told_why(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, str]] = []
    sink = Sink("/dev/full", held=True)
    sink.tell_lost, sink.report = None, lambda lost, why: told.append((lost, why))
    sink.write("lost")
    assert told == [(1, "No space left on device")]
    monkeypatch.setattr(os, "write", lambda fd, data: len(data))
    sink.write("written")
    assert told[1:] == [(0, "")]
    close(sink)


def test_a_file_that_is_moved_away_while_it_is_opened(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is locked must be what stands at the path: whoever compresses may have been quicker."""
    real, opened = fcntl.flock, 0

    def flock(fd: int, how: int) -> None:
        nonlocal opened
        opened += 1
        if opened == 1:
            path.rename(path.with_suffix(".1"))
        if opened == 2:
            raise BlockingIOError
        real(fd, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    sink = Sink(str(path), held=True)
    sink.write("here")
    assert opened == 3
    assert path.read_text() == "here\n"
    close(sink)


def test_a_file_without_locks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(fd: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", flock)
    close(Sink(str(path), held=True))
