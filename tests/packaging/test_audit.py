"""The audit: what it must refuse, and that it never calls well what it could not ask about."""

from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path

import pytest

from tests.packaging.box import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import audit

HASH = "--hash=sha256:" + "a" * 64
LOCKED = {"dependencies": [{"name": "click", "version": "8.5.1", "vulns": []}]}


@pytest.mark.parametrize("path", audit.LOCKS)
def test_our_locks_are_sound(path: Path) -> None:
    assert list(audit.check_lock(path.read_text())) == []
    assert len(audit.pins(path.read_text())) >= 8


@pytest.mark.parametrize(
    "line",
    [
        "click==8.5.1",
        "click==8.5.1 ; sys_platform == 'linux'",
        f"click>=8 {HASH}",
        f"click {HASH}",
        f"click @ https://example.org/click.whl {HASH}",
        "-e .",
        "--extra-index-url https://example.org/",
        f"click==8.5.1 {HASH[:-1]}",
        f"click==8.5.1 {HASH.replace('sha256', 'md5')}",
        f"click==8.5.1 {HASH} --find-links /tmp",
    ],
)
def test_a_line_that_promises_too_little(line: str) -> None:
    assert len(list(audit.check_lock(f"# Made by `make lock`.\n{line}\n"))) == 1


def test_a_line_that_is_sound() -> None:
    text = f"click==8.5.1 ; sys_platform == 'linux' \\\n    {HASH} \\\n    {HASH}\n"
    assert list(audit.check_lock(text)) == []
    assert audit.pins(text) == [("click", "8.5.1", frozenset({"a" * 64}))]


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("MIT", True),
        ("MIT AND PSF-2.0", True),
        ("Apache-2.0 OR GPL-3.0-only", True),
        ("(MIT OR GPL-2.0-only)", True),
        ("MIT AND GPL-3.0-only", False),
        ("(MIT OR Apache-2.0) AND GPL-3.0-only", False),
        ("AGPL-3.0-only", False),
        ("BSD License", False),
        ("mit-ish", False),
        ("(MIT OR GPL-2.0-only) AND ISC", True),
        ("(MIT OR Apache-2.0) AND (GPL-3.0-only OR ISC)", True),
        ("(MIT AND GPL-3.0-only) OR ISC", True),
        ("MIT OR GPL-3.0-only AND LGPL-3.0-only", True),
        ("Apache-2.0 WITH LLVM-exception", False),
        ("CC0-1.0 OR Apache-2.0 OR Apache-2.0 WITH LLVM-exception", True),
        ("MIT/Apache-2.0", False),
        ("MIT OR", False),
        ("(MIT", False),
        ("MIT)", False),
        ("()", False),
        ("", False),
    ],
)
def test_licences(licence: str, allowed: bool) -> None:
    part = audit.Part("name", "1", licence, None)
    assert (list(audit.check_licences([part])) == []) is allowed


def test_licences_of_what_is_inside() -> None:
    inner = audit.Inner("libx", "2", "GPL-3.0-only", "pkg:generic/libx@2", ())
    part = audit.Part("name", "1", "MIT", None, (inner,))
    assert list(audit.check_licences([part])) == [
        "libx 2 in name: the licence 'GPL-3.0-only' is not among those allowed"
    ]


def test_the_age_of_a_part() -> None:
    part = audit.Part("name", "1", "MIT", datetime.date(2026, 1, 1))
    assert part.age(datetime.date(2026, 1, 31)) == 30
    assert audit.Part("name", "1", "MIT", None).age(datetime.date(2026, 1, 31)) is None


def test_answers() -> None:
    assert audit.read_answer(json.dumps(LOCKED)) == ([], [])
    found = {"name": "gevent", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}
    known, unasked = audit.read_answer(json.dumps({"dependencies": [*LOCKED["dependencies"], found]}))
    assert (known, unasked) == (["gevent 1: PYSEC-1, fixed in 2"], [])
    skipped = {"name": "gevent", "skip_reason": "not found"}
    assert audit.read_answer(json.dumps({"dependencies": [skipped]}))[1] != []
    assert audit.read_answer(json.dumps({"dependencies": [*LOCKED["dependencies"], skipped]}))[1] == [
        "gevent: not found"
    ]
    assert audit.read_answer("")[1] != []


@pytest.mark.parametrize(
    ("answer", "status", "last"),
    [
        (LOCKED, 0, "all is well"),
        ({"dependencies": [{"name": "click", "skip_reason": "no"}]}, 2, "no database was asked"),
        ({"dependencies": [{"name": "c", "version": "1", "vulns": [{"id": "X", "fix_versions": []}]}]}, 1, "wrong"),
        (None, 2, "no database was asked"),
    ],
)
def test_the_whole(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: object,
    status: int,
    last: str,
) -> None:
    program = tmp_path / "pip-audit"
    if answer is not None:
        program.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(answer)}\nEND\n")
        program.chmod(0o755)
    assert run(monkeypatch, "--pip-audit", str(program)) == status
    said = capsys.readouterr().out
    assert said.splitlines()[-1].startswith(last)
    assert "greenlet" in said
    assert "    with openssl 4." in said


def test_a_missing_wheel_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--wheelhouse", str(tmp_path), "--pip-audit", str(tmp_path / "no")) == 1
    assert "WRONG  gevent: no wheel of it" in capsys.readouterr().out


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    """Run the audit, asking no index; its exit status."""
    monkeypatch.setattr(audit, "newest", lambda _name: "?")
    monkeypatch.setattr(sys, "argv", ["audit.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        audit.main()
    return ended.value.code
