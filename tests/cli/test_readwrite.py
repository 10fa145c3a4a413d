from __future__ import annotations

import io
import os
import stat
import sys

import pytest

from gproxy.base.errors import GproxyError
from gproxy.cli.readwrite import read_whole, write_out, write_whole


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_files_are_read_whole(tmp_path):
    (tmp_path / "a").write_bytes(b"\0x")
    assert read_whole(str(tmp_path / "a")) == b"\0x"
    with pytest.raises(GproxyError, match=r"b: no such file or directory"):
        read_whole(str(tmp_path / "b"))


def test_standard_input_and_output(monkeypatch, capsysbinary):
    for name in ("stdin", "-"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"in")))
        assert read_whole(name) == b"in"
    for name in ("stdout", "-"):
        write_out(name, b"out")
    assert capsysbinary.readouterr().out == b"outout"


def test_a_new_file_has_the_usual_mode_and_an_old_one_keeps_its_own(tmp_path):
    before = os.umask(0o027)
    try:
        write_out(str(tmp_path / "new"), b"1")
    finally:
        os.umask(before)
    assert mode(tmp_path / "new") == 0o640
    (tmp_path / "new").chmod(0o604)
    write_out(str(tmp_path / "new"), b"2")
    assert mode(tmp_path / "new") == 0o604
    write_whole(tmp_path / "secret", b"3", 0o600)
    assert mode(tmp_path / "secret") == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "secret"]


def test_a_link_stays_one(tmp_path):
    (tmp_path / "real").write_bytes(b"1")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_whole(tmp_path / "link", b"2", 0o600)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"2"


def test_what_can_not_be_written_is_told(tmp_path):
    with pytest.raises(GproxyError, match="no such file or directory"):
        write_out(str(tmp_path / "nowhere" / "a"), b"")
