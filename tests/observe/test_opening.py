from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from gproxy.observe import opening
from gproxy.observe.opening import open_lines


def free(path: Path) -> bool:
    """Whether nobody holds it."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@pytest.mark.parametrize("held", [False, True])
def test_what_is_written_is_added(held: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    for text in (b"one\n", b"two\n"):
        fd = open_lines(str(path), held=held)
        os.write(fd, text)
        assert not os.get_blocking(fd)
        assert free(path) is not held
        os.close(fd)
    assert path.read_bytes() == b"one\ntwo\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert free(path)


def test_a_file_that_is_moved_away_meanwhile_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be compressed by then; who comes too late takes the new one."""
    path = tmp_path / "a.log"
    flock, moved = fcntl.flock, []

    def late(fd: int, how: int) -> None:
        if not moved:
            moved.append(path.rename(tmp_path / "a.log.1"))
        flock(fd, how)

    monkeypatch.setattr(opening.fcntl, "flock", late)
    fd = open_lines(str(path), held=True)
    assert os.path.samestat(os.fstat(fd), path.stat())
    os.close(fd)


def test_one_that_is_always_moved_away_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.log"
    monkeypatch.setattr(opening, "_hold", lambda fd, path: False)
    os.close(open_lines(str(path), held=True))


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(fd: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(opening.fcntl, "flock", refused)
    os.close(open_lines(str(tmp_path / "a.log"), held=True))


def test_a_pipe_that_nobody_reads_holds_up_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="No such device"):
        open_lines(str(tmp_path / "pipe"))
