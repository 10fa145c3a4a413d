"""Rule sets of all kinds, in one sing-box and in our router: thousands of connections must take the same way.

Rules and sets are made at random, the sets in sing-box's own formats. Each sequence of rules has an inbound of its own
in one sing-box; its outbounds `yes` and `no` lead to two SOCKS servers that tell the client which of them it has
reached.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gproxy.app.rules import build_context
from gproxy.config.root import Root
from gproxy.route.options import RouteOptions
from gproxy.route.rule import Router
from gproxy.schema.model import read
from gproxy.schema.problem import Problem
from tests.interop.lab import program
from tests.interop.test_route_singbox import HOSTS, USERS, Visit, ours, sing_box, teller, theirs
from tests.support.procs import Processes

Tree = dict[str, Any]

FULL = bool(os.environ.get("GPROXY_FULL"))
QUERIES = 20_000 if FULL else 2_500
SETS = 40
SEQUENCES = 100

MORE_HOSTS = [
    *HOSTS, "ads.example.org", "b.a.example.org", "example.com", "org", "a.b.c.d.test", "voip.test", "x-ads.net",
]  # fmt: skip
ADDRESSES = [
    "10.1.2.3", "10.255.0.1", "192.168.7.7", "198.51.100.7", "203.0.113.200", "8.8.8.8", "2001:db8::1",
    "2001:db8:8000::1", "fd00::1", "::1", "100.64.0.1",
]  # fmt: skip
PORTS = [80, 443, 3, 8443]
SUFFIXES = ["org", ".org", "example.org", ".example.org", "test", "tracker.test", ".voip.test", "c.d.test", "net"]
DOMAINS = ["example.org", "a.example.org", "ads7.tracker.test", "voip.test", "org"]
KEYWORDS = ["ex", "ads", "voip", "zz", "."]
EXPRESSIONS = [r"^a\.", r"[0-9]", r"\.test$", r"^[^.]+\.[^.]+$", r"(?i)^ADS"]
PREFIXES = [
    "10.0.0.0/8",
    "127.0.0.2",
    "127.0.0.0/30",
    "198.51.100.0/24",
    "2001:db8::/33",
    "128.0.0.0/1",
    "fd00::/16",
    "192.168.7.7",
    "::/0",
]
SOURCES = ["127.0.0.2", "127.0.0.1/32", "127.0.0.0/30", "10.0.0.0/8"]
ADGUARD = [
    "||example.org^",
    "|example.org^",
    "||ads",
    "ads*.test",
    "voip",
    "||a.*.d.test^",
    "example",
    "@@||a.example.org^",
]


# Sets, and rules that name them, for what chance brings too seldom.
NESTED: Tree = {
    "tag": "nested",
    "rules": [{"type": "logical", "mode": "or", "rules": [{"ip_cidr": ["127.0.0.0/30", "10.0.0.0/8"]}]}],
}
PAIR: Tree = {"tag": "pair", "rules": [{"ip_cidr": ["127.0.0.0/30", "10.0.0.0/8"], "domain": "example.org"}]}
FIXED: list[list[Tree]] = [
    [{"rule_set": tag, "rule_set_ip_cidr_match_source": by_source, **more, "outbound": "yes"}]
    for tag in ("nested", "pair")
    for by_source in (True, False)
    for more in ({}, {"source_ip_cidr": "127.0.0.9"}, {"domain": "a.example.org"}, {"port": 443, "invert": True})
]


def headless(draw: random.Random, depth: int = 0) -> Tree:
    """A rule of a rule set."""
    if depth < 2 and draw.random() < 0.15:
        rules = [headless(draw, depth + 1) for _ in range(draw.randint(1, 3))]
        return {"type": "logical", "mode": draw.choice(("and", "or")), "rules": rules, "invert": draw.random() < 0.3}
    items: Tree = {
        "network": draw.sample(("tcp", "udp"), draw.randint(1, 2)),
        "domain": draw.sample(DOMAINS, 2),
        "domain_suffix": draw.sample(SUFFIXES, 2),
        "domain_keyword": draw.sample(KEYWORDS, 1),
        "domain_regex": draw.sample(EXPRESSIONS, 1),
        "ip_cidr": draw.sample(PREFIXES, 2),
        "source_ip_cidr": draw.sample(SOURCES, 1),
        "source_port_range": draw.sample([":1023", "1024:"], 1),
        "port": draw.sample(PORTS, 1),
        "port_range": draw.sample(["80:443", ":79", "8000:"], 1),
    }
    chosen = draw.sample(list(items), draw.choice((1, 1, 2, 3)))
    return {**{key: items[key] for key in chosen}, "invert": draw.random() < 0.2}


def rule(draw: random.Random, tags: Sequence[str], depth: int = 0) -> Tree:
    """A route rule that names rule sets, mostly beside items of its own."""
    if depth < 1 and draw.random() < 0.2:
        rules = [rule(draw, tags, depth + 1) for _ in range(draw.randint(1, 3))]
        return {"type": "logical", "mode": draw.choice(("and", "or")), "rules": rules, "invert": draw.random() < 0.3}
    items: Tree = {
        "auth_user": draw.sample(USERS, 1),
        "domain": draw.sample(DOMAINS, 1),
        "domain_suffix": draw.sample(SUFFIXES, 1),
        "ip_cidr": draw.sample(PREFIXES, 1),
        "ip_is_private": True,
        "source_ip_cidr": draw.sample(SOURCES, 1),
        "source_port_range": draw.sample([":1023", "1024:"], 1),
        "port": draw.sample(PORTS, 1),
    }
    chosen = draw.sample(list(items), draw.choice((0, 0, 1, 2)))
    made = {**{key: items[key] for key in chosen}, "rule_set": draw.sample(tags, draw.choice((1, 1, 2, 3)))}
    if draw.random() < 0.3:
        made["rule_set_ip_cidr_match_source"] = True
    return {**made, "invert": draw.random() < 0.2}


def write_sets(draw: random.Random, folder: Path) -> list[Tree]:
    """Rule sets of every kind, as both programs have them in their configuration."""
    entries: list[Tree] = []
    for number in range(SETS):
        tag = f"set{number}"
        rules = [headless(draw) for _ in range(draw.choice((1, 1, 1, 2, 4)))]
        if number % 10 == 9:
            rules.append({"domain_suffix": [f"n{each}.unused.test" for each in range(1500)] + draw.sample(SUFFIXES, 2)})
        source = folder / f"{tag}.json"
        source.write_text(json.dumps({"version": 3, "rules": rules}), "utf-8")
        if number % 3 == 0:
            entries.append({"tag": tag, "rules": rules})
        elif number % 3 == 1:
            entries.append({"type": "local", "tag": tag, "path": str(source)})
        else:
            entries.append({"type": "local", "tag": tag, "path": str(compiled(source))})
    adguard = folder / "adguard.txt"
    adguard.write_text("\n".join(ADGUARD), "utf-8")
    binary = folder / "adguard.srs"
    run("rule-set", "convert", "--type", "adguard", "--output", str(binary), str(adguard))
    return [*entries, NESTED, PAIR, {"type": "local", "tag": "adguard", "path": str(binary)}]


def compiled(source: Path) -> Path:
    binary = source.with_suffix(".srs")
    run("rule-set", "compile", "--output", str(binary), str(source))
    return binary


def run(*arguments: str) -> None:
    done = subprocess.run([program("sing-box"), *arguments], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


def sequences(draw: random.Random, tags: Sequence[str]) -> list[list[Tree]]:
    """Rules that follow each other; half of them see addresses."""
    made = list(FIXED)
    for number in range(SEQUENCES - len(made)):
        rules = [{**rule(draw, tags), "outbound": draw.choice(("yes", "no"))} for _ in range(draw.choice((1, 2, 4)))]
        rules[0]["outbound"] = "yes"
        made.append([*([{"action": "resolve"}] if number % 2 else []), *rules])
    return made


def options(**tables: Any) -> RouteOptions:
    problems: list[Problem] = []
    read_tables = read(RouteOptions, tables, ("route",), problems)
    assert read_tables is not None, problems
    return read_tables


NAMES = {name: HOSTS.get(name, ["198.51.100.9"]) for name in MORE_HOSTS}


def visits(draw: random.Random, count: int) -> list[Visit]:
    return [
        Visit(
            draw.choice(MORE_HOSTS if draw.random() < 0.6 else ADDRESSES),
            draw.choice(PORTS),
            draw.choice(USERS),
            draw.choice(("127.0.0.1", "127.0.0.2", "127.0.0.9")),
        )
        for _ in range(count)
    ]


def test_rule_sets_lead_where_they_lead_in_sing_box(
    processes: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.setattr("tests.interop.test_route_singbox.HOSTS", NAMES)
    draw = random.Random("rule sets")
    entries = write_sets(draw, tmp_path)
    made = sequences(draw, [each["tag"] for each in entries])
    context = build_context(Root(route=options(rule_set=entries)))
    wrong, hits = [], 0
    with teller(b"y") as yes, teller(b"n") as no:
        ports = sing_box(processes, made, yes, no, NAMES, rule_set=entries)
        for rules, port in zip(made, ports, strict=True):
            mine = Router(options(rules=rules).rules, "no", context)
            for visit in visits(draw, QUERIES // len(made)):
                said, source = theirs(port, visit)
                hits += said
                if ours(mine, visit, source) != said:
                    wrong.append((rules, visit, f"sing-box: {said}"))
    assert not wrong, f"{len(wrong)} of {QUERIES}:\n" + "\n".join(map(str, wrong[:20]))
    assert QUERIES / 5 < hits < QUERIES * 4 / 5
