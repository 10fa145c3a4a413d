from __future__ import annotations

import json
import stat
import tomllib

import pytest

from gproxy.cli.main import main


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.json").write_text(
        '{"outbounds":[{"type":"socks","tag":"a","server":"x","username":"u",'
        '"server_port":1, // c\n"password":"${P}"}]}'
    )
    (tmp_path / "b.toml").write_text('[[outbounds]]\ntype="direct"\ntag="b"\n')
    monkeypatch.setenv("P", "hunter2")
    return tmp_path


def test_format_prints_and_keeps_comments_and_variables(here, capsys):
    assert main(["format", "-c", "a.json", "-c", "b.toml"]) == 0
    out = capsys.readouterr().out
    assert '"server_port": 1, // c\n' in out
    assert '"${P}"' in out
    assert 'type = "direct"' in out
    assert (here / "b.toml").read_text() == '[[outbounds]]\ntype="direct"\ntag="b"\n'


def test_format_writes_back_what_changed(here, capsys):
    (here / "b.toml").chmod(0o640)
    assert main(["format", "-w", "-c", "b.toml"]) == 0
    assert capsys.readouterr().err == "b.toml\n"
    assert (here / "b.toml").read_text() == '[[outbounds]]\ntype = "direct"\ntag = "b"\n'
    assert stat.S_IMODE((here / "b.toml").stat().st_mode) == 0o640
    assert main(["format", "-w", "-c", "b.toml"]) == 0
    assert capsys.readouterr().err == ""
    assert sorted(path.name for path in here.iterdir()) == ["a.json", "b.toml"]


@pytest.mark.parametrize(("name", "parse"), [("out.json", json.loads), ("out.toml", tomllib.loads)])
def test_merge_writes_one_file_for_its_owner(here, name, parse):
    assert main(["merge", name, "-c", "a.json", "-c", "b.toml"]) == 0
    merged = parse((here / name).read_text())
    assert [each["tag"] for each in merged["outbounds"]] == ["a", "b"]
    assert merged["outbounds"][0]["password"] == "${P}"
    assert stat.S_IMODE((here / name).stat().st_mode) == 0o600


def test_merge_prints(capsys):
    assert main(["merge", "-", "-c", "b.toml"]) == 0
    assert json.loads(capsys.readouterr().out) == {"outbounds": [{"type": "direct", "tag": "b"}]}


def test_merge_refuses(here, capsys):
    assert main(["merge", "out.yaml", "-c", "b.toml"]) == 2
    assert main(["merge", "nowhere/out.json", "-c", "b.toml"]) == 1
    (here / "c.toml").write_text("x = 1")
    assert main(["merge", "out.json", "-c", "c.toml"]) == 3
    assert not (here / "out.json").exists()


def test_schema(capsys):
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "gproxy configuration"
