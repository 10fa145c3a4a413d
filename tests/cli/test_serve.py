from __future__ import annotations

import pytest

from gproxy.cli.main import main


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text(
        '[[inbounds]]\ntype = "mixed"\ntag = "in"\nlisten = "127.0.0.1"\nlisten_port = 1080\n'
        'listen_ports = "2000-2010"\n'
        '[[inbounds]]\ntype = "direct"\nlisten = "::1"\nlisten_port = 53\n[[inbounds]]\ntype = "socks"\n'
    )
    return str(path)


def test_check_says_what_it_would_listen_on(config, capsys):
    assert main(["check", "-c", config]) == 0
    assert capsys.readouterr().out == (
        "OK\n"
        "mixed `in` would listen on tcp 127.0.0.1:1080, tcp 127.0.0.1:2000-2010\n"
        "direct `1` would listen on tcp [::1]:53, udp [::1]:53\n"
        "socks `2` would listen nowhere\n"
    )


def test_run_hands_the_configuration_on(config, monkeypatch):
    served = []
    monkeypatch.setattr("gproxy.proc.solo.run", lambda root, colour: served.append((len(root.inbounds), colour)))
    assert main(["--disable-color", "run", "-c", config]) == 0
    assert served == [(3, False)]


def test_run_starts_nothing_from_a_wrong_configuration(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("gproxy.proc.solo.run", lambda *_, **__: pytest.fail("started"))
    (tmp_path / "c.toml").write_text("x = 1")
    assert main(["run", "-c", str(tmp_path / "c.toml")]) == 3


def test_check_warns_and_is_content(tmp_path, capsys):
    (tmp_path / "c.toml").write_text('[[route.rules]]\npackage_name = "x"\noutbound = "direct"\n')
    assert main(["check", "-c", str(tmp_path / "c.toml")]) == 0
    said = capsys.readouterr()
    assert said.out == "OK\n"
    assert "c.toml:2:1: route.rules[0].package_name: warning: never matches on Linux" in said.err


def test_check_opens_the_databases_that_rules_ask(tmp_path, capsys):
    (tmp_path / "c.toml").write_text(
        '[route.geoip]\npath = "none.db"\n[[route.rules]]\ngeoip = "de"\noutbound = "direct"\n'
    )
    assert main(["check", "-c", str(tmp_path / "c.toml")]) == 1
    assert "none.db: no such file" in capsys.readouterr().err
