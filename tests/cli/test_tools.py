from __future__ import annotations

import pytest

from gproxy.cli.main import main
from tests.support.origin import http_origin


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text(
        '[[outbounds]]\ntype = "block"\ntag = "no"\n'
        '[[outbounds]]\ntype = "direct"\ntag = "yes"\n[route]\nfinal = "no"\n'
    )
    return str(path)


def test_fetch_goes_through_the_outbound_that_is_named(config, capsysbinary):
    with http_origin() as server:
        url = f"http://{server.authority}/status/404"
        assert main(["tools", "fetch", "-c", config, "-o", "yes", url]) == 1
        assert capsysbinary.readouterr().err == b"gproxy: the server answered 404\n"


def test_without_a_name_the_final_outbound_is_used(config, capsys):
    assert main(["tools", "fetch", "-c", config, "http://127.0.0.1:9/"]) == 1
    assert "answered" not in capsys.readouterr().err


def test_an_outbound_that_is_not_there(config, capsys):
    assert main(["tools", "fetch", "-c", config, "-o", "maybe", "http://127.0.0.1:9/"]) == 2
    assert "no outbound has the tag `maybe`; there is no, yes" in capsys.readouterr().err
