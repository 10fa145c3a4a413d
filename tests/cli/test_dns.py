"""gproxy.cli.dns: asking by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gproxy.cli.main import FAILED, OK, REFUSED, USAGE, main

CONFIG = {
    "dns": {
        "servers": [
            {"type": "hosts", "tag": "one", "predefined": {"a.test": ["192.0.2.1", "2001:db8::1"]}},
            {"type": "hosts", "tag": "two", "predefined": {"a.test": "192.0.2.2"}},
        ],
        "rules": [
            {"query_type": "TXT", "action": "predefined", "answer": "*. 60 IN TXT hello"},
            {"domain": "no.test", "action": "reject"},
        ],
    },
    "route": {"default_domain_resolver": "one"},
}


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIG))
    return str(path)


def run(*arguments: str, config: str) -> int:
    return main(["dns", "query", *arguments, "-c", config])


@pytest.mark.parametrize(
    ("arguments", "out", "about"),
    [
        (["a.test"], "192.0.2.1\n", ";; NOERROR from server one, final, "),
        (["A.Test.", "aaaa"], "2001:db8::1\n", ";; NOERROR from server one, final, "),
        (["a.test", "--server", "two"], "192.0.2.2\n", ";; NOERROR from server two, "),
        (
            ["a.test", "TXT"],
            '"hello"\n',
            ";; NOERROR from the configuration, dns.rule[0] query_type=TXT => predefined, ",
        ),
        (["192.0.2.1", "PTR"], "a.test.\n", ";; NOERROR from server one, final, "),
        (["a.test", "MX"], "", ";; NOERROR from server one, final, "),
    ],
)
def test_the_answer_alone_is_the_output(
    arguments: list[str], out: str, about: str, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments, config=config) == OK
    told = capsys.readouterr()
    assert told.out == out
    assert told.err.startswith(about)
    assert told.err.endswith(" ms\n")


def test_everything_as_json(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("a.test", "--json", config=config) == OK
    told = json.loads(capsys.readouterr().out)
    assert told.pop("milliseconds") >= 0
    assert told == {
        "rcode": "NOERROR", "server": "one", "rule": "final", "authentic": False, "authority": [], "additional": [],
        "answer": [{"name": "a.test", "type": "A", "ttl": 600, "data": "192.0.2.1"}],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["x.test"], FAILED, "x.test: NXDOMAIN"),
        (["no.test"], FAILED, "dns.rule[1] domain=no.test => reject"),
        (["a..test"], FAILED, "not a domain name"),
        (["a.test", "WAT"], USAGE, "not a DNS record type"),
        (["a.test", "--server", "three"], USAGE, "no DNS server has the tag `three`; there is one, two"),
    ],
)
def test_what_does_not_work(
    arguments: list[str], code: int, why: str, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments, config=config) == code
    assert why in capsys.readouterr().err


def test_a_wrong_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"dns": {"servers": [{"type": "udp", "server": "dns.test"}]}}')
    assert run("a.test", config=str(path)) == REFUSED
    assert "`domain_resolver` is missing" in capsys.readouterr().err
