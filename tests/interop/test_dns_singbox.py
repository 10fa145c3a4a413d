"""The same rules about names in sing-box and in gproxy, before the same servers: every question gets the same answer.

Each sequence of rules has an inbound of its own in both programs, which hands what it is asked to the resolver.
"""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple

import pytest

from gproxy.base.errors import ProtocolError
from gproxy.wire.dns import types
from gproxy.wire.dns.message import Edns, Message, Record, make_query, parse
from gproxy.wire.dns.name import encode_name
from gproxy.wire.dns.subnet import with_subnet
from tests.interop.lab import program
from tests.support.ports import LOOPBACK, free_port, free_ports
from tests.support.procs import Processes

Rule = Mapping[str, Any]

NETWORKS = {"a": "10.0.0.", "b": "198.51.100.", "c": "203.0.113."}
"""The servers, and in which network the addresses are that each of them knows."""

NAMES = (
    "www.site.test", "site.test", "ads.tracker.test", "host.lan", "nx-b.site.test", "empty-a.site.test",
    "fail-a.site.test", "private-c.site.test", "alias.site.test", "slow-a.site.test",
)  # fmt: skip
KINDS = (types.A, types.AAAA, types.TXT, types.HTTPS)

# Rules that look at the addresses of answers that are yet to be asked for, and such as may stand beside them.
LEGACY: list[list[Rule]] = [
    [{"ip_cidr": "10.0.0.0/8", "server": "a"}],
    [{"ip_cidr": "10.0.0.0/8", "server": "b"}, {"server": "c"}],
    [{"ip_is_private": True, "server": "c"}, {"ip_cidr": "198.51.100.0/24", "server": "b"}],
    [{"ip_is_private": True, "invert": True, "server": "a"}, {"server": "b"}],
    [{"domain_suffix": "site.test", "ip_cidr": "192.0.2.0/24", "server": "b"}],
    [{"ip_accept_any": True, "server": "a"}, {"server": "b"}],
    [
        {
            "type": "logical", "mode": "and", "server": "a",
            "rules": [{"domain_suffix": "test"}, {"ip_cidr": "10.0.0.0/8", "invert": True}],
        },
        {"server": "b"},
    ],
    [
        {
            "type": "logical", "mode": "or", "server": "b",
            "rules": [{"domain": "host.lan"}, {"ip_cidr": "10.0.0.0/8"}],
        },
        {"server": "c"},
    ],
    [{"domain_keyword": "ads", "server": "b", "strategy": "ipv4_only"}, {"server": "c", "strategy": "ipv6_only"}],
]  # fmt: skip

MODERN: list[list[Rule]] = [
    [],
    [{"query_type": "A", "server": "b"}],
    [{"query_type": ["AAAA", 65], "server": "b"}],
    [{"query_type": "A", "invert": True, "server": "c"}],
    [{"ip_version": 6, "server": "c"}],
    [{"domain": "site.test", "server": "b"}, {"domain_suffix": ".site.test", "server": "c"}],
    [{"domain_keyword": "ads", "action": "reject"}],
    [{"domain_regex": r"^[^.]+\.lan$", "action": "predefined", "rcode": "NXDOMAIN"}],
    [{"domain_suffix": "lan", "action": "predefined", "answer": ["*.lan. IN A 192.0.2.9", "x.lan. IN TXT hello"]}],
    [{"domain": "host.lan", "action": "predefined", "ns": ["lan. IN NS ns.lan."], "extra": ["ns.lan. IN A 192.0.2.8"]}],
    [{"action": "route-options", "rewrite_ttl": 7}, {"query_type": "TXT", "server": "b"}],
    [{"query_dnssec": True, "server": "b"}],
    [{"query_client_subnet": "192.0.2.0/24", "server": "c"}],
    [
        {"action": "evaluate", "server": "b"},
        {"match_response": True, "ip_cidr": "198.51.100.0/25", "action": "respond"},
    ],
    [{"action": "evaluate", "server": "b"}, {"match_response": True, "ip_accept_any": True, "server": "c"}],
    [{"action": "evaluate", "server": "b"}, {"match_response": True, "response_rcode": "NXDOMAIN", "action": "reject"}],
    [{"action": "evaluate", "server": "b"}, {"match_response": True, "response_rcode": "NXDOMAIN", "server": "c"}],
    [
        {"action": "evaluate", "server": "a"},
        {"match_response": True, "ip_is_private": True, "invert": True, "server": "c"},
    ],
    [
        {"action": "evaluate", "server": "a"},
        {"match_response": True, "response_answer": ["site.test. IN TXT a"], "server": "c"},
    ],
    [
        {"action": "evaluate", "server": "b"},
        {"match_response": True, "response_ns": ["test. IN SOA ns.test. root.test. 1 2 3 4 5"], "server": "c"},
    ],
    [{"action": "evaluate", "server": "c"}, {"action": "respond"}],
    [{"query_type": "A", "action": "evaluate", "server": "c"}, {"match_response": True, "action": "respond"}],
    [
        {"action": "evaluate", "server": "a", "tag": "one"},
        {"action": "evaluate", "server": "b", "tag": "two"},
        {"match_response": "two", "ip_cidr": "198.51.100.0/25", "action": "respond"},
        {"match_response": "one", "ip_is_private": True, "action": "respond"},
    ],
    [
        {"action": "evaluate", "server": "a", "tag": "one"},
        {"action": "evaluate", "server": "b", "tag": "two"},
        {"match_response": "one", "ip_cidr": "10.0.0.0/25", "race": True, "action": "respond"},
        {"match_response": "two", "ip_cidr": "198.51.100.0/24", "action": "respond"},
        {"server": "c"},
    ],
    [
        {"action": "evaluate", "server": "a", "tag": "one"},
        {"match_response": "one", "response_rcode": "NXDOMAIN", "race": True, "action": "reject"},
        {"action": "route", "server": "c", "speculative": True},
    ],
    [
        {"action": "evaluate", "server": "b"},
        {
            "type": "logical", "mode": "and", "server": "c",
            "rules": [{"domain_suffix": "site.test"}, {"match_response": True, "response_rcode": "NOERROR"}],
        },
    ],
    [
        {"action": "evaluate", "server": "b"},
        {
            "type": "logical", "mode": "or", "action": "respond",
            "rules": [{"domain": "host.lan"}, {"match_response": True, "ip_cidr": "0.0.0.0/0", "invert": True}],
        },
    ],
    [{"preferred_by": "h", "query_type": ["A", "AAAA"], "server": "h"}],  # of other types it says: no such name
    [{"source_ip_cidr": "127.0.0.0/8", "network": "udp", "server": "b"}],
    [{"port": 53, "server": "b"}, {"auth_user": "nobody", "server": "c"}],
    [{"action": "route-options", "client_subnet": "192.0.2.0/24"}, {"query_type": "TXT", "server": "c"}],
    [{"domain_suffix": "test", "server": "c", "remove_client_subnet": True}],
]  # fmt: skip


def random_rules(draw: random.Random) -> list[Rule]:
    """Rules out of parts that hit and miss about as often, behind an `evaluate` of a server."""

    def condition(depth: int) -> dict[str, Any]:
        if depth < 2 and draw.random() < 0.25:
            parts = [condition(depth + 1) for _ in range(draw.randint(1, 3))]
            return {
                "type": "logical",
                "mode": draw.choice(("and", "or")),
                "rules": parts,
                "invert": draw.random() < 0.3,
            }
        items: dict[str, Any] = {
            "query_type": draw.sample(["A", "AAAA", "TXT", "HTTPS"], 2),
            "ip_version": 6,  # 4 is also what it calls any other question of a client that has come by IPv4
            "domain": draw.sample(NAMES, 2),
            "domain_suffix": draw.sample(["lan", "site.test", ".site.test", "tracker.test"], 1),
            "domain_keyword": draw.sample(["ads", "nx", "empty", "-a"], 1),
        }
        looks: dict[str, Any] = {
            "ip_cidr": draw.sample(["10.0.0.0/25", "198.51.100.0/25", "2001:db8::/33"], 1),
            "ip_is_private": True,
            "ip_accept_any": True,
            "response_rcode": draw.choice(("NOERROR", "NXDOMAIN", "SERVFAIL")),
        }
        chosen = draw.sample(list(items), draw.randint(1, 2))
        said = {key: items[key] for key in chosen}
        if draw.random() < 0.5:
            said["match_response"] = True
            said.update((key, looks[key]) for key in draw.sample(list(looks), draw.randint(1, 2)))
        return {**said, "invert": draw.random() < 0.25}

    rules: list[Rule] = [{"action": "evaluate", "server": draw.choice("abc")}]
    for server in draw.sample("abc", 2):
        rules.append({**condition(0), "server": server})
    return rules


# -- the servers ------------------------------------------------------------------------------------------------------


def zone(server: str, query: Message) -> Message | None:
    """What a server says; None: nothing."""
    assert query.question is not None
    name, kind, _ = query.question
    edns = None if query.edns is None else Edns(1232, query.edns.do)
    reply = Message(query.id, True, recursion_available=True, question=query.question, edns=edns)
    label = name.split(".")[0]
    if label == f"fail-{server}":
        reply.rcode = types.SERVFAIL
        return reply
    numbers = b"".join(number.to_bytes(4, "big") for number in range(1, 6))
    soa = Record("test", types.SOA, 300, encode_name("ns.test") + encode_name("root.test") + numbers)
    if label == f"nx-{server}":
        reply.rcode, reply.authority = types.NXDOMAIN, (soa,)
        return reply
    owner = name
    answer: list[Record] = []
    if label == "alias":
        owner = "target.test"
        answer.append(Record(name, types.CNAME, 300, encode_name(owner)))
    last = sum(name.encode()) % 200 + 1
    network = "10.0.0." if label == f"private-{server}" else NETWORKS[server]
    data = {
        types.A: ip_address(f"{network}{last}").packed,
        types.AAAA: ip_address(f"2001:db8:{'a' if server == 'a' else 'f000'}::{last}").packed,
        types.TXT: bytes([1]) + server.encode(),
        types.HTTPS: b"\0\1\0\0\4\0\4" + ip_address(f"{network}{last}").packed + b"\0\6\0\x10" + bytes(15) + b"\1",
    }[kind]
    if label == f"empty-{server}" or (server == "b" and kind == types.AAAA):
        reply.answer, reply.authority = tuple(answer), (soa,)
    else:
        reply.answer = (*answer, Record(owner, kind, 300, data))
    return reply


@contextmanager
def servers() -> Iterator[dict[str, int]]:
    """The servers' ports."""
    sockets = {tag: socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for tag in NETWORKS}
    threads = []
    for tag, sock in sockets.items():
        sock.bind((LOOPBACK, 0))
        threads.append(threading.Thread(target=_serve, args=(tag, sock), daemon=True))
    ports = {tag: sock.getsockname()[1] for tag, sock in sockets.items()}
    for thread in threads:
        thread.start()
    try:
        yield ports
    finally:
        for tag, sock in sockets.items():
            sock.sendto(b"", (LOOPBACK, ports[tag]))
        for thread, sock in zip(threads, sockets.values(), strict=True):
            thread.join(30)
            sock.close()


def _serve(tag: str, sock: socket.socket) -> None:
    while True:
        data, client = sock.recvfrom(4096)
        if not data:
            return
        try:
            query = parse(data)
        except ProtocolError:
            continue
        reply = zone(tag, query)
        assert query.question is not None
        if query.question.name.startswith(f"slow-{tag}"):
            time.sleep(0.05)
        if reply is not None:
            written = reply.encode()
            end = 12 + len(encode_name(query.question.name))
            sock.sendto(written[:12] + data[12:end] + written[end:], client)


# -- both programs ----------------------------------------------------------------------------------------------------


class Asked(NamedTuple):
    """A question, and what it says beside."""

    name: str
    kind: int
    edns: Edns | None = None


QUESTIONS = [
    *(Asked(name, kind) for name in NAMES for kind in KINDS),
    Asked("www.site.test", types.A, Edns(1232, do=True)),
    Asked("www.site.test", types.A, with_subnet(None, ip_network("192.0.2.0/25"))),
]


def configuration(
    sequences: Sequence[Sequence[Rule]], ports: Sequence[int], upstream: Mapping[str, int]
) -> dict[str, Any]:
    """The same for both."""
    return {
        "log": {"level": "warn"},
        "dns": {
            "servers": [
                *(
                    {"type": "udp", "tag": tag, "server": LOOPBACK, "server_port": port}
                    for tag, port in upstream.items()
                ),
                {"type": "hosts", "tag": "h", "predefined": {"host.lan": "192.0.2.77"}},
            ],
            "rules": [only_from(f"in{at}", rule) for at, rules in enumerate(sequences) for rule in rules],
            "final": "a",
            "disable_cache": True,
        },
        "inbounds": [
            {
                "type": "direct", "tag": f"in{at}", "listen": LOOPBACK, "listen_port": port, "network": "udp",
                "override_address": "192.0.2.53", "override_port": 53,
            }
            for at, port in enumerate(ports)
        ],
        "route": {"rules": [{"port": 53, "action": "hijack-dns"}], "default_domain_resolver": "a"},
    }  # fmt: skip


def only_from(inbound: str, rule: Rule) -> Rule:
    """The rule, for one inbound alone. What evaluates, and what is told by a tag, is so for this inbound too."""
    said = {key: f"{value}-{inbound}" if _is_tag(key, value) else value for key, value in rule.items()}
    if "rules" not in rule and not rule.get("invert"):
        return {"inbound": inbound, **said}
    action = {
        key: value for key, value in said.items() if key in ("action", "server", "strategy", "race", "speculative")
    }
    looks = {key: value for key, value in said.items() if key not in action}
    return {"type": "logical", "mode": "and", "rules": [{"inbound": inbound}, looks], **action}


def _is_tag(key: str, value: object) -> bool:
    return key in ("tag", "match_response") and isinstance(value, str)


def ask(port: int, asked: Asked) -> object:
    """The answer in a form that can be compared."""
    query = b"\7\7" + make_query(asked.name, asked.kind, edns=asked.edns)[2:]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.sendto(query, (LOOPBACK, port))
        try:
            reply = parse(client.recv(4096))
        except TimeoutError:  # a busy machine loses a datagram now and then
            client.sendto(query, (LOOPBACK, port))
            reply = parse(client.recv(4096))
    assert reply.id == 0x0707
    sections = (reply.answer, reply.authority, reply.additional)
    return (
        types.rcode_name(reply.rcode),
        reply.question,
        [sorted((record.name, record.type, record.data) for record in section) for section in sections],
        sorted({record.ttl for record in reply.answer})
        if not reply.authority
        else [],  # it does not mind RFC 2308 there
    )


def compare(processes: Processes, sequences: Sequence[Sequence[Rule]]) -> None:
    """Ask both everything."""
    wrong, seen = [], set()
    theirs, mine = free_ports(len(sequences)), free_ports(len(sequences))
    with servers() as upstream:
        for name, ports in (("sing-box", theirs), ("gproxy", mine)):
            config = configuration(sequences, ports, upstream)
            if name == "gproxy":
                processes.gproxy(config, tcp=(), udp=ports)
            else:
                path = processes.folder / f"sing-box-{free_port()}.json"
                path.write_text(json.dumps(config), "utf-8")
                processes.start(program("sing-box"), "run", "-c", str(path), udp=ports)
        for rules, their_port, my_port in zip(sequences, theirs, mine, strict=True):
            for asked in QUESTIONS:
                said, answered = ask(their_port, asked), ask(my_port, asked)
                seen.add(str(said))
                if said != answered:
                    wrong.append((rules, asked, f"sing-box: {said}", f"gproxy: {answered}"))
    assert not wrong, f"{len(wrong)}\n" + "\n".join(map(str, wrong[:20]))
    assert len(seen) > len(QUESTIONS)


def test_rules_that_look_at_answers_get_the_same_ones(processes: Processes) -> None:
    compare(processes, MODERN)


def test_rules_that_filter_by_addresses_get_the_same_answers(processes: Processes) -> None:
    compare(processes, LEGACY)


@pytest.mark.parametrize("seed", [1, 2])
def test_random_rules_get_the_same_answers(processes: Processes, seed: int) -> None:
    draw = random.Random(seed)
    compare(processes, [random_rules(draw) for _ in range(30)])
