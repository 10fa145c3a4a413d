"""`gproxy route explain` against a gproxy that runs: what it would do, as it knows things now."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.proxy import LOG, inbound
from tests.support.ports import LOOPBACK
from tests.support.procs import Processes, ProcessFailed, run
from tests.support.wait import wait_until

OUTBOUNDS = [
    {"type": "direct", "tag": "d"},
    {"type": "socks", "tag": "p", "server": "192.0.2.9", "server_port": 9, "detour": "d"},
]


def tables(rules: Path) -> dict[str, Any]:
    return {
        "outbounds": OUTBOUNDS,
        "dns": {
            "servers": [
                {"type": "fakeip", "tag": "f", "inet4_range": "198.18.0.0/15"},
                {"type": "hosts", "tag": "h", "predefined": {"a.test": "10.1.2.3"}},
            ],
            "rules": [{"query_type": "A", "inbound": "names", "server": "f"}],
            "final": "h",
        },
        "route": {
            "default_domain_resolver": "h",
            "rule_set": [{"type": "local", "tag": "set", "format": "source", "path": str(rules)}],
            "rules": [
                {"rule_set": "set", "outbound": "p"},
                {"domain": "a.test", "action": "resolve"},
                {"ip_cidr": "10.0.0.0/8", "auth_user": "eve", "action": "reject"},
            ],
            "final": "d",
        },
    }


def write_set(path: Path, *domains: str) -> None:
    path.write_text(json.dumps({"version": 3, "rules": [{"domain": list(domains)}]}), "utf-8")


def gproxy_says(*arguments: str) -> str:
    """What a command prints. Raises ProcessFailed with what it says is wrong."""
    done = run(sys.executable, "-m", "gproxy", *arguments)
    if done.returncode:
        raise ProcessFailed(done.stderr.decode())
    return done.stdout.decode()


def explain(*arguments: str) -> str:
    return gproxy_says("route", "explain", *arguments)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_process_that_serves_is_asked(workers: int, processes: Processes, tmp_path: Path) -> None:
    rules, control = tmp_path / "set.json", str(tmp_path / "own.sock")
    write_set(rules, "before.test")
    names = inbound("dns", tag="names")
    runtime = {"workers": workers, "control": control}
    config = {"log": LOG, "inbounds": [inbound("socks"), names], "runtime": runtime, **tables(rules)}
    gproxy = processes.gproxy(config, tcp=())
    gproxy.wait_log("is ready" if not workers else "generation 1 serves")
    running, offline = ("--control", control), ("-c", gproxy.argv[-1])

    for asked in (
        ["a.test:443"],
        ["a.test:443", "--user", "eve"],
        ["before.test:80", "--json"],
        ["b.test:53", "--network", "udp"],
    ):
        assert explain(*asked, *running) == explain(*asked, *offline)
    assert explain("a.test:443", "--running", *offline) == explain("a.test:443", *offline)

    # It follows what the process follows: a rule set that has changed, and addresses that it has given for names.
    write_set(rules, "after.test")
    wait_until(lambda: "yes rule[0]" in explain("after.test:80", *running), "the new rule set is not there", 15)
    assert explain("before.test:80", *running).startswith("no  rule[0]")
    fake = gproxy_says("dns", "query", "after.test", "-c", str(asking(tmp_path, names["listen_port"])))
    told = json.loads(explain(f"{fake.strip()}:80", "--json", *running))
    assert (told["target"], told["verdict"]) == ("after.test:80", "p")

    for wrong, why in (
        (["a.test:443", "--inbound", "x"], "no inbound has the tag `x`; there is in, names"),
        (["a.test:443", "--worker", "7"], "there is no such worker"),
        (["198.18.9.9:1"], "stands for no name"),
        (["a.test"], "port"),
    ):
        with pytest.raises(ProcessFailed, match=why):
            explain(*wrong, *running)


def asking(folder: Path, port: int) -> Path:
    """A configuration that asks the name server of another gproxy."""
    path = folder / "asking.json"
    server = {"type": "udp", "tag": "it", "server": LOOPBACK, "server_port": port}
    path.write_text(json.dumps({"dns": {"servers": [server]}}), "utf-8")
    return path
