from __future__ import annotations

import io
import json
import sys

import pytest

from gproxy.cli.main import main
from gproxy.route.formats.srs import read_srs
from gproxy.route.headless import HeadlessRule

SOURCE = '{"version": 3, /* x */ "rules": [{"domain": ["b.example", "a.example"]}, {"ip_cidr": "10.0.0.1/8"}]}'


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.json").write_text(SOURCE)
    return tmp_path


def run(*arguments):
    return main(["rule-set", *arguments])


def test_there_and_back(here, capsys):
    assert run("compile", "a.json") == 0
    assert read_srs((here / "a.srs").read_bytes()).version == 2
    assert run("decompile", "a.srs", "-o", "b.json") == 0
    assert json.loads((here / "b.json").read_bytes()) == {
        "version": 2,
        "rules": [{"domain": ["a.example", "b.example"]}, {"ip_cidr": "10.0.0.0/8"}],
    }
    assert run("decompile", "a.srs", "-o", "-") == 0
    assert capsys.readouterr().out == (here / "b.json").read_text()


def test_names_of_what_is_written(here, monkeypatch):
    (here / "c").write_text(SOURCE)
    assert run("compile", "c") == 0
    assert run("decompile", "c.srs") == 0
    for arguments in (("compile", "stdin"), ("compile", "-", "--output", "d.bin")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(SOURCE.encode())))
        assert run(*arguments) == 0
    assert sorted(path.name for path in here.iterdir()) == ["a.json", "c", "c.json", "c.srs", "d.bin", "stdin.srs"]


def test_a_working_directory(here, tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert run("compile", "a.json", "-D", str(here)) == 0
    assert (here / "a.srs").exists()


def test_a_mistake_names_the_file_and_the_place(here, capsys):
    (here / "a.json").write_text('{"version":1,"rules":[{"port":1},{"port":-1}]}')
    for command in ("compile", "format", "upgrade"):
        assert run(command, "a.json") == 1
        assert capsys.readouterr().err == "gproxy: a.json: rules[1].port[0]: expected a port number, 0 to 65535\n"
    assert run("match", "a.json", "x") == 1
    assert run("decompile", "a.json") == 1
    assert capsys.readouterr().err.endswith("a.json: not a binary rule set: it does not begin with `SRS`\n")
    assert run("compile", "none.json") == 1
    assert run("compile") == 2
    assert [path.name for path in here.iterdir()] == ["a.json"]


def test_an_item_that_the_version_lacks(here, capsys):
    (here / "a.json").write_text('{"version":1,"rules":[{"network_type":"wifi"}]}')
    assert run("compile", "a.json") == 1
    assert "`network_type` is known from version 3 on, not in 1" in capsys.readouterr().err


def test_converting_a_filter(here, capsys):
    (here / "f.txt").write_text("||a.example^\n||b.example^$popup\n||c.example/x\n||d^$popup\n")
    assert run("convert", "-t", "adguard", "f.txt") == 0
    assert capsys.readouterr().err == (
        "dropped 2: rules with the modifier 'popup'\ndropped 1: rules with a path\nkept 1 of 4 entries\n"
    )
    assert read_srs((here / "f.srs").read_bytes()) == (2, [HeadlessRule(adguard_domain=("||a.example^",))])
    assert run("decompile", "f.srs") == 1
    assert run("convert", "-t", "adguard", "f.txt", "-o", "f.json") == 1
    assert not (here / "f.json").exists()


@pytest.mark.parametrize(
    ("kind", "text", "rule"),
    [
        ("mihomo", "+.a.example\n", {"domain_suffix": "a.example"}),
        ("mihomo-domain", "10.0.0.1\n", {"domain": "10.0.0.1"}),
        ("mihomo-ipcidr", "payload:\n- 10.0.0.1\n", {"ip_cidr": "10.0.0.1/32"}),
        ("mihomo-classical", "DST-PORT,80\n", {"port": 80}),
    ],
)
def test_converting_lists_of_mihomo(here, kind, text, rule):
    (here / "l").write_text(text)
    assert run("convert", "-t", kind, "l", "-o", "l.json") == 0
    assert json.loads((here / "l.json").read_bytes()) == {"version": 2, "rules": [rule]}


def test_converting_needs_a_type(here):
    assert run("convert", "a.json") == 2
    assert run("convert", "-t", "hosts", "a.json") == 2


def test_formatting(here, capsys):
    assert run("format", "a.json") == 0
    out = capsys.readouterr().out
    assert out.startswith('{\n  "version": 3,\n')
    assert '"ip_cidr": "10.0.0.1/8"' in out
    assert (here / "a.json").read_text() == SOURCE
    assert run("format", "-w", "a.json") == 0
    assert capsys.readouterr().err == f"{here / 'a.json'}\n"
    assert (here / "a.json").read_text() == out
    assert run("format", "-w", "a.json") == 0
    assert capsys.readouterr().err == ""


def test_upgrading(here, capsys):
    assert run("upgrade", "-w", "a.json") == 0
    assert capsys.readouterr().err == "already up-to-date\n"
    assert (here / "a.json").read_text() == SOURCE
    (here / "a.json").write_text('{"version":1,"rules":[{"port":1}]}')
    assert run("upgrade", "a.json") == 0
    assert json.loads(capsys.readouterr().out) == {"version": 5, "rules": [{"port": 1}]}
    assert run("upgrade", "-w", "a.json") == 0
    assert json.loads((here / "a.json").read_bytes())["version"] == 5


def test_merging(here, capsys):
    (here / "more").mkdir()
    for name, version in (("2.json", 5), ("1.json", 1), ("x.txt", 9)):
        (here / "more" / name).write_text(json.dumps({"version": version, "rules": [{"port": version}]}))
    assert run("merge", "out.json", "-c", "a.json", "-C", "more") == 0
    assert capsys.readouterr().err == f"{here / 'out.json'}\n"
    merged = json.loads((here / "out.json").read_bytes())
    assert (merged["version"], merged["rules"][2:]) == (5, [{"port": 1}, {"port": 5}])
    assert run("merge", "-", "-c", "a.json") == 0
    assert json.loads(capsys.readouterr().out)["version"] == 3
    assert run("merge", "out.json") == 2
    assert run("merge", "out.json", "-C", "none") == 1


def test_matching(here, capsys):
    assert run("compile", "a.json") == 0
    for arguments in (("a.json",), ("a.srs",), ("-f", "binary", "a.srs"), ("-f", "source", "a.json")):
        assert run("match", *arguments, "A.example") == 0
        assert capsys.readouterr().out.startswith("match rules.[0]: domain=[")
    assert run("match", "a.srs", "10.2.3.4") == 0
    assert capsys.readouterr().out == "match rules.[1]: ip_cidr=10.0.0.0/8\n"
    assert run("match", "a.srs", "c.example") == 0
    assert capsys.readouterr().out == ""
    assert run("match", "-f", "source", "a.srs", "x") == 1
