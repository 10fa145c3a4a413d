from __future__ import annotations

import os
import sys

import pytest

from gproxy.base.errors import ConfigError
from gproxy.proc.arguments import Sources
from gproxy.proc.launch import become_master


def test_it_becomes_the_master(monkeypatch: pytest.MonkeyPatch) -> None:
    executed = []
    monkeypatch.setattr(os, "execv", lambda *arguments: executed.append(arguments))
    become_master(["a.toml"], ["conf.d"])
    [(program, arguments)] = executed
    assert program == sys.executable == arguments[0]
    assert arguments[-3:-1] == ["-m", "gproxy.proc.master"]
    assert Sources.from_json(arguments[-1]) == Sources(["a.toml"], ["conf.d"])


@pytest.mark.parametrize("name", ["-", "stdin"])
def test_standard_input_can_t_be_read_twice(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("started"))
    with pytest.raises(ConfigError, match=r"standard input.*use 0"):
        become_master(["a.toml", name], [])
