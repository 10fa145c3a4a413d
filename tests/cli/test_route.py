"""gproxy.cli.route: what the rules say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gproxy.cli.main import OK, USAGE, main

CONFIG = {
    "inbounds": [{"type": "mixed", "tag": "in", "listen_port": 1080}],
    "outbounds": [
        {"type": "direct", "tag": "d"},
        {"type": "socks", "tag": "p", "server": "192.0.2.9", "server_port": 9, "detour": "d"},
        {"type": "block", "tag": "b"},
    ],
    "dns": {"servers": [{"type": "hosts", "tag": "h", "predefined": {"a.test": "10.1.2.3", "c.test": "10.0.0.1"}}]},
    "route": {
        "rules": [
            {"domain_suffix": "x.test", "port": [80, 81], "outbound": "b"},
            {"auth_user": "eve", "action": "reject"},
            {"process_name": "curl", "outbound": "p"},
            {"domain": "a.test", "action": "resolve"},
            {"ip_cidr": "10.1.0.0/16", "network": "tcp", "outbound": "p"},
            {"action": "sniff"},
            {"protocol": "tls", "outbound": "p"},
            {"domain": "q.test", "action": "route-options", "override_address": "c.test"},
        ],
        "final": "d",
    },
}


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIG))
    return str(path)


def lines(config: str, capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert main(["route", "explain", *arguments, "-c", config]) == OK
    return capsys.readouterr().out.splitlines()


def test_the_whole_story(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert lines(config, capsys, "a.test:443") == [
        "no  rule[0] domain_suffix=x.test port=[80 81] => route(b): all of (port no, domain no)",
        "no  rule[1] auth_user=eve => reject: auth_user no",
        "no  rule[2] process_name=curl => route(p): process_name no",
        "yes rule[3] domain=a.test => resolve: domain yes",
        "yes rule[4] network=tcp ip_cidr=10.1.0.0/16 => route(p): all of (network yes, ip_cidr yes)",
        "    a.test has 10.1.2.3",
        "=>  p (socks, server 192.0.2.9:9) → d (direct)",
    ]


@pytest.mark.parametrize(
    ("arguments", "end"),
    [
        (["x.test:80"], ["=>  b (block)"]),
        (["y.test:80", "--user", "eve"], ["=>  refused"]),
        (
            ["y.test:80", "--process", "/usr/bin/curl"],
            ["    y.test goes on as a name", "=>  p (socks, server 192.0.2.9:9) → d (direct)"],
        ),
        (["192.0.2.1:80", "--protocol", "tls"], ["=>  p (socks, server 192.0.2.9:9) → d (direct)"]),
        (
            ["q.test:80"],
            [
                "    nothing is sniffed here: --protocol and --domain say what it would find",
                "    the target is c.test:80 now, asked was q.test:80",
                "    c.test has 10.0.0.1",
                "=>  d (direct)",
            ],
        ),
        (["no.test:80"], ["    no.test has no address: no.test: no such name, says DNS server `h`", "=>  d (direct)"]),
    ],
)
def test_ends(config: str, capsys: pytest.CaptureFixture[str], arguments: list[str], end: list[str]) -> None:
    assert lines(config, capsys, *arguments)[-len(end) :] == end


def test_for_programs(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["route", "explain", "a.test:443", "--json", "-c", config]) == OK
    tree = json.loads(capsys.readouterr().out)
    assert (tree["asked"], tree["addresses"], tree["verdict"]) == ("a.test:443", ["10.1.2.3"], "p")
    assert [rule["matched"] for rule in tree["rules"]] == [False, False, False, True, True]
    assert tree["rules"][0]["because"] == {
        "what": "all of", "holds": False,
        "because": [{"what": "port", "holds": False}, {"what": "domain", "holds": False}],
    }  # fmt: skip
    assert tree["outbounds"] == ["p (socks, server 192.0.2.9:9)", "d (direct)"]


@pytest.mark.parametrize("arguments", [["x"], ["x:80", "--inbound", "no"], ["x:80", "--source", "a b"]])
def test_what_makes_no_sense(config: str, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["route", "explain", *arguments, "-c", config]) == USAGE
    assert capsys.readouterr().out == ""
