"""gproxy.cli.route: what the rules say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gproxy.cli.main import FAILED, OK, USAGE, main
from tests.cli.answering import Answering

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


def test_a_running_gproxy_is_asked(config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["route", "explain", "a.test:443", "--json", "-c", config]) == OK
    tree = json.loads(capsys.readouterr().out)
    gproxy = Answering(tmp_path)
    gproxy.says(ok=True, processes=[{"generation": 1, "worker": 1, "pid": 9, "explained": tree}])
    arguments = ["a.test:443", "--user", "eve", "--worker", "1", "--control", gproxy.path]
    assert main(["route", "explain", *arguments]) == OK
    gproxy.close()
    assert capsys.readouterr().out.splitlines() == lines(config, capsys, "a.test:443")
    said = {"inbound": "", "source": "", "network": "tcp", "process": "", "protocol": "", "domain": ""}
    assert gproxy.asked == {
        "ask": "explain", "worker": 1, "connection": {"target": "a.test:443", "user": "eve", **said},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"ok": False, "error": "too many such questions at once"}, "too many such questions at once"),
        ({"ok": True, "processes": []}, "there is no such worker"),
        ({"ok": True, "processes": [{"error": "no inbound has the tag `x`"}]}, "no inbound has the tag `x`"),
    ],
)
def test_a_running_gproxy_says_no(
    answer: dict[str, Any], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gproxy = Answering(tmp_path)
    gproxy.says(**answer)
    assert main(["route", "explain", "a.test:443", "--control", gproxy.path]) == FAILED
    gproxy.close()
    assert why in capsys.readouterr().err


def test_nobody_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["route", "explain", "a.test:443", "--running", "--control", str(tmp_path / "none.sock")]) == FAILED
    assert "none.sock" in capsys.readouterr().err
    assert main(["route", "explain", "a.test", "--running", "--control", str(tmp_path / "none.sock")]) == USAGE


@pytest.mark.parametrize("arguments", [["x"], ["x:80", "--inbound", "no"], ["x:80", "--source", "a b"]])
def test_what_makes_no_sense(config: str, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["route", "explain", *arguments, "-c", config]) == USAGE
    assert capsys.readouterr().out == ""
