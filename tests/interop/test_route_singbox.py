"""The same rules, asked of sing-box and of our router: every decision must be the same.

Each rule has an inbound of its own in one sing-box, whose outbounds `yes` and `no` lead to two SOCKS servers that tell
the client which of them it has reached.
"""

from __future__ import annotations

import json
import random
import socket
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address
from typing import Any, NamedTuple

import pytest

from gproxy.base.address import Address, parse_host, parse_ip
from gproxy.base.session import Session
from gproxy.net.resolve import order
from gproxy.route.action import Resolve, RouteTo, SetOptions
from gproxy.route.options import RouteOptions
from gproxy.route.rule import Router
from gproxy.schema.model import read
from gproxy.schema.problem import Problem
from tests.interop.lab import program
from tests.support.ports import LOOPBACK, free_port, free_ports
from tests.support.procs import Processes

Rule = Mapping[str, Any]

HOSTS = {
    "a.example.org": ["10.1.2.3"],
    "example.org": ["198.51.100.7"],
    "notexample.org": ["203.0.113.9", "192.168.7.7"],
    "stun.voip.test": ["2001:db8::1"],
    "xn--bcher-kva.test": ["fd00::1", "198.51.100.8"],
    "ads7.tracker.test": ["100.64.0.1"],
}
USERS = ("alice", "bob")
ACTION_KEYS = ("action", "outbound", "strategy", "override_address", "override_port")

RULES: list[Rule] = [
    {"ip_version": 4},
    {"ip_version": 6},
    {"network": "tcp"},
    {"network": ["udp"]},
    {"network": ["udp", "tcp"]},
    {"auth_user": "alice"},
    {"auth_user": ["carol", "bob"]},
    {"domain": "example.org"},
    {"domain_suffix": "example.org"},
    {"domain_suffix": ".example.org"},
    {"domain_suffix": "org"},
    {"domain_suffix": ".org"},
    {"domain": ["example.org"], "domain_suffix": [".tracker.test"]},
    {"domain_keyword": "example"},
    {"domain_keyword": ["voip", "7.track"]},
    {"domain_regex": r"^stun\..+"},
    {"domain_regex": [r"^ads[0-9]+\.", r"(?i)^A\.", r"\z\A"]},
    {"domain_regex": r"^xn--"},
    {"ip_cidr": "198.51.100.0/24"},
    {"ip_cidr": ["10.1.2.3", "2001:db8::/33"]},
    {"ip_cidr": ["203.0.113.9/25", "::/0"]},
    {"ip_cidr": "0.0.0.0/0"},
    {"ip_is_private": True},
    {"ip_is_private": True, "invert": True},
    {"ip_is_private": True, "domain": "example.org"},
    {"ip_cidr": "198.51.100.0/24", "domain_keyword": "ads"},
    {"source_ip_cidr": "127.0.0.2/32"},
    {"source_ip_cidr": "127.0.0.0/8", "source_ip_is_private": True},
    {"source_ip_is_private": True, "port": 443},
    {"source_port": 1, "source_port_range": "1024:"},
    {"source_port_range": ":1023"},
    {"port": [80, 443]},
    {"port_range": ["79:80", ":3"]},
    {"port": 443, "port_range": "8000:"},
    {"port": 443, "domain_suffix": "org", "auth_user": "alice"},
    {"port": 443, "invert": True},
    {"type": "logical", "mode": "or", "rules": [{"port": 80}, {"domain_suffix": "test"}]},
    {"type": "logical", "mode": "and", "rules": [{"port": 443, "invert": True}, {"ip_version": 4}], "invert": True},
    {
        "type": "logical",
        "mode": "and",
        "rules": [
            {"type": "logical", "mode": "or", "rules": [{"ip_is_private": True}, {"domain_keyword": "."}]},
            {"auth_user": "bob", "invert": True},
        ],
    },
]


# Rules that follow each other; those that hold no outbound lead nowhere by themselves.
SEQUENCES: list[list[Rule]] = [
    [{"action": "resolve"}, {"ip_cidr": ["10.0.0.0/8", "2001:db8::/32"], "outbound": "yes"}],
    [{"ip_is_private": True, "outbound": "yes"}, {"action": "resolve"}, {"ip_version": 4, "outbound": "yes"}],
    [
        {"domain": "xn--bcher-kva.test", "action": "resolve", "strategy": "ipv4_only"},
        {"ip_cidr": ["fd00::/8", "10.0.0.0/8"], "outbound": "yes"},
    ],
    [
        {"action": "route-options", "override_address": "10.9.9.9"},
        {"ip_is_private": True, "port": 443, "outbound": "yes"},
    ],
    [{"action": "route-options", "override_address": "a.test"}, {"domain": "a.test", "outbound": "yes"}],
    [{"port": 80, "action": "route-options", "override_port": 81}, {"port": 81, "outbound": "yes"}],
    [
        {"action": "resolve"},
        {"domain_suffix": "org", "action": "route-options", "override_address": "a.test"},
        {"ip_cidr": "0.0.0.0/0", "outbound": "yes"},
    ],
    [
        {"action": "resolve"},
        {"action": "route-options", "override_port": 81},
        {"ip_cidr": "198.51.100.0/24", "port": 81, "outbound": "yes"},
    ],
    [{"port": 80, "outbound": "no"}, {"outbound": "yes"}],
]


class Visit(NamedTuple):
    """What a client asks for, and how it comes."""

    host: str
    port: int
    user: str
    source: str


VISITS = [
    *(Visit(host, port, "alice", "127.0.0.1") for host in HOSTS for port in (80, 443)),
    *(
        Visit(host, 443, "bob", "127.0.0.2")
        for host in (
            "10.1.2.3", "172.16.0.1", "172.32.0.1", "192.168.255.255", "127.0.0.1", "169.254.1.1", "224.0.0.1",
            "239.255.255.255", "240.0.0.1", "255.255.255.255", "100.64.0.1", "0.0.0.0", "0.0.0.1", "198.51.100.200",
            "203.0.113.1", "203.0.113.200", "2001:db8::5", "2001:db8:8000::5", "::1", "::", "fe80::1", "fec0::1",
            "fc00::1", "fdff::1", "ff02::1", "64:ff9b::1", "a.example.org",
        )
    ),
    Visit("198.51.100.7", 8443, "alice", "127.0.0.1"),
    Visit("2001:db8::1", 3, "alice", "127.0.0.2"),
    Visit("notexample.org", 65535, "bob", "127.0.0.2"),
]  # fmt: skip


def random_rule(draw: random.Random, depth: int = 0) -> Rule:
    """A rule out of parts that hit and miss about as often."""
    if depth < 2 and draw.random() < 0.25:
        rules = [random_rule(draw, depth + 1) for _ in range(draw.randint(1, 3))]
        return {"type": "logical", "mode": draw.choice(("and", "or")), "rules": rules, "invert": draw.random() < 0.3}
    items: dict[str, Any] = {
        "ip_version": draw.choice((4, 6)),
        "auth_user": draw.sample(USERS, 1),
        "domain": draw.sample(list(HOSTS), 2),
        "domain_suffix": draw.sample(["org", "test", ".example.org", "example.org", "tracker.test"], 2),
        "domain_keyword": draw.sample(["ex", "ads", "voip", "zz"], 2),
        "domain_regex": draw.sample([r"^a\.", r"[0-9]", r"\.test$", r"^[^.]+\.[^.]+$"], 1),
        "ip_cidr": draw.sample(["10.0.0.0/8", "198.51.100.0/24", "2001:db8::/32", "128.0.0.0/1", "fd00::/16"], 2),
        "ip_is_private": True,
        "source_ip_cidr": draw.sample(["127.0.0.2", "127.0.0.1/31", "10.0.0.0/8"], 1),
        "source_ip_is_private": True,
        "source_port_range": draw.sample([":1023", "1024:"], 1),
        "port": draw.sample([80, 443, 3], 1),
        "port_range": draw.sample(["80:443", ":79", "8000:"], 1),
    }
    chosen = draw.sample(list(items), draw.randint(1, 4))
    return {**{key: items[key] for key in chosen}, "invert": draw.random() < 0.25}


def router(rules: Sequence[Rule]) -> Router:
    """Ours."""
    problems: list[Problem] = []
    options = read(RouteOptions, {"rules": list(rules)}, ("route",), problems)
    assert options is not None, problems
    return Router(options.rules, "no")


def ours(rules: Router, visit: Visit, source: Address) -> bool:
    """Whether our router sends the visit to `yes`."""
    session = Session(1, "tcp", "in", source, Address(parse_host(visit.host), visit.port), user=visit.user)
    for action in rules.walk(session):
        host = session.target.host
        if isinstance(action, Resolve) and isinstance(host, str):
            session.addresses = order([parse_ip(text) for text in HOSTS[host]], action.how.strategy)
        elif isinstance(action, SetOptions):
            action.overrides.apply(session)
        elif isinstance(action, RouteTo):
            return action.outbound == "yes"
    raise AssertionError("no final action")


def theirs(port: int, visit: Visit) -> tuple[bool, Address]:
    """Whether sing-box does, and where it saw us come from."""
    with socket.create_connection((LOOPBACK, port), 5, source_address=(visit.source, 0)) as client:
        source = client.getsockname()
        stream = client.makefile("rwb")
        stream.write(b"\x05\x01\x02" + _login(visit.user) + b"\x05\x01\x00" + _socks_host(visit.host))
        stream.write(struct.pack("!H", visit.port))
        stream.flush()
        assert stream.read(4) == b"\x05\x02\x01\x00"
        assert stream.read(4) == b"\x05\x00\x00\x01", "sing-box has refused"
        stream.read(6)
        return {b"y": True, b"n": False}[stream.read(1)], Address(parse_host(source[0]), source[1])


def _login(user: str) -> bytes:
    return bytes([1, len(user)]) + user.encode() + b"\x02pw"


def _socks_host(text: str) -> bytes:
    host = parse_host(text)
    if isinstance(host, IPv4Address | IPv6Address):
        return (b"\x01" if host.version == 4 else b"\x04") + host.packed
    return bytes([3, len(host)]) + host.encode()


@contextmanager
def teller(word: bytes) -> Iterator[int]:
    """A SOCKS5 server that accepts everything and says one word; its port."""
    with socket.create_server((LOOPBACK, 0), backlog=64) as server:
        thread = threading.Thread(target=_tell, args=(server, word), daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(30)


def _tell(server: socket.socket, word: bytes) -> None:
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        with client, client.makefile("rwb") as stream:
            try:
                methods = stream.read(2)[1]
                stream.read(methods)
                stream.write(b"\x05\x00")
                stream.flush()
                kind = stream.read(4)[3]
                stream.read({1: 4, 4: 16}[kind] if kind != 3 else stream.read(1)[0])
                stream.read(2)
                stream.write(b"\x05\x00\x00\x01" + bytes(6) + word)
                stream.flush()
            except (OSError, IndexError):
                continue


def only_from(inbound: str, rule: Rule) -> Rule:
    """The rule, for one inbound alone."""
    action = {key: value for key, value in rule.items() if key in ACTION_KEYS}
    looks = {key: value for key, value in rule.items() if key not in ACTION_KEYS}
    if not looks:
        return {"inbound": inbound, **action}
    return {"type": "logical", "mode": "and", "rules": [{"inbound": inbound}, looks], **action}


def sing_box(
    processes: Processes,
    sequences: Sequence[Sequence[Rule]],
    yes: int,
    no: int,
    hosts: Mapping[str, Sequence[str]] | None = None,
    **route: Any,
) -> list[int]:
    """sing-box with an inbound for each sequence of rules; their ports. `hosts`: other names than HOSTS."""
    ports = free_ports(len(sequences))
    users = [{"username": user, "password": "pw"} for user in USERS]
    config = {
        "log": {"level": "warn"},
        "dns": {"servers": [{"type": "hosts", "tag": "hosts", "predefined": HOSTS if hosts is None else hosts}]},
        "inbounds": [
            {"type": "socks", "tag": f"in{index}", "listen": LOOPBACK, "listen_port": port, "users": users}
            for index, port in enumerate(ports)
        ],
        "outbounds": [
            {"type": "socks", "tag": tag, "server": LOOPBACK, "server_port": port}
            for tag, port in (("no", no), ("yes", yes))
        ],
        "route": {
            "rules": [only_from(f"in{index}", rule) for index, rules in enumerate(sequences) for rule in rules],
            "final": "no",
            **route,
        },
    }
    path = processes.folder / f"route-{free_port()}.json"
    path.write_text(json.dumps(config), "utf-8")
    processes.start(program("sing-box"), "run", "-c", str(path), tcp=ports)
    return ports


def sequences(kind: str, *, resolved: bool) -> list[list[Rule]]:
    """The rules to compare, each leading to `yes`."""
    draw = random.Random(kind)
    rules = RULES if kind == "table" else [random_rule(draw) for _ in range(40)]
    return [[*([{"action": "resolve"}] if resolved else []), {**rule, "outbound": "yes"}] for rule in rules]


def compare(processes: Processes, sequences: Sequence[Sequence[Rule]]) -> None:
    """Ask both of every visit."""
    wrong, hits = [], 0
    with teller(b"y") as yes, teller(b"n") as no:
        for rules, port in zip(sequences, sing_box(processes, sequences, yes, no), strict=True):
            mine = router(rules)
            for visit in VISITS:
                said, source = theirs(port, visit)
                hits += said
                if ours(mine, visit, source) != said:
                    wrong.append((rules, visit, f"sing-box: {said}"))
    assert not wrong, "\n".join(map(str, wrong))
    assert 0 < hits < len(sequences) * len(VISITS)


@pytest.mark.parametrize("resolved", [False, True], ids=["plain", "resolved"])
@pytest.mark.parametrize("kind", ["table", "random 1", "random 2"])
def test_a_rule_matches_where_it_matches_in_sing_box(processes: Processes, kind: str, *, resolved: bool) -> None:
    compare(processes, sequences(kind, resolved=resolved))


def test_actions_change_what_later_rules_see_as_in_sing_box(processes: Processes) -> None:
    compare(processes, SEQUENCES)
