from __future__ import annotations

import pytest

from gproxy.base.errors import GproxyError
from gproxy.cli.main import main
from gproxy.cli.sources import Sources
from gproxy.config.load import ConfigProblems


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    base = tmp_path / "base"
    (base / "more").mkdir(parents=True)
    (base / "a.toml").write_text("[[inbounds]]\ntype = 'mixed'\nlisten_port = 1\n")
    (base / "b.toml").write_text("[[inbounds]]\ntype = 'mixed'\nlisten_port = 2\n")
    (base / "more" / "c.json").write_text('{"inbounds": [{"type": "mixed", "listen_port": 3}]}')
    return tmp_path


def test_options_before_and_after_the_command_add_up(here, capsys):
    assert main(["-D", "base", "-c", "a.toml", "check", "-c", "b.toml", "-C", "more"]) == 0
    ports = [line.rpartition(":")[2] for line in capsys.readouterr().out.splitlines()[1:]]
    assert ports == ["1", "2", "3"]


def test_the_base_directory(here):
    assert len(Sources(files=["a.toml"], base="base").root().inbounds) == 1
    with pytest.raises(ConfigProblems, match="nowhere: no such file or directory"):
        Sources(base="nowhere").load()


def test_colours_can_be_turned_off(monkeypatch):
    seen = []

    def load(self):
        seen.append(self.colour)
        raise GproxyError("enough")

    monkeypatch.setattr("gproxy.cli.sources.Sources.load", load)
    for arguments in (["--disable-color", "check"], ["check", "--disable-color"], ["check"]):
        assert main(arguments) == 1
    assert seen == [False, False, None]
