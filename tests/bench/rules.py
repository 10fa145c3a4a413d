"""What rules cost: sets of domains and prefixes, and walks, measured inside a process that does nothing else.

Every look-up is for a name or an address that was not asked before: nothing that is remembered helps.
"""

from __future__ import annotations

import gc
import json
import os
import random
import time
from collections.abc import Callable, Container, Sequence
from ipaddress import IPv4Address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gproxy.base.address import Address
from gproxy.base.session import Session
from gproxy.route.context import NO_CONTEXT
from gproxy.route.domains import DomainTrie
from gproxy.route.headless import HeadlessRule
from gproxy.route.options import RouteOptions
from gproxy.route.prefixes import read_prefixes
from gproxy.route.rule import Router
from gproxy.route.sets.contents import Contents
from gproxy.route.sets.packed import Packed, from_file, pack
from gproxy.schema.model import read
from gproxy.schema.problem import Problem
from tests.bench.apart import sample_of
from tests.bench.sampling import MICRO, MILLI, Figures, Measure, Row
from tests.bench.worker import WorkFailed

_SUFFIXES = 300_000
_PREFIXES = 20_000
_RULES = 100
_BATCH = 2_000  # look-ups that are timed together
_BATCHES = 40
_LIMIT = 300.0  # seconds for all of it
_ENDS = ("com",) * 10 + ("net", "org", "io", "cn", "de", "co.uk", "ru", "info")

_ROWS = (
    Row("rules-load", f"loading {_SUFFIXES:,} suffixes made ready", "ms", limit=50),
    Row("rules-memory", "memory of a process for these", "MB", limit=8),
    Row("rules-domain-hit", "a look-up among these, hit", "µs", limit=2),
    Row("rules-domain-miss", "the same, miss", "µs", limit=2),
    Row("rules-cidr", f"a look-up among {_PREFIXES:,} prefixes", "µs", limit=1),
    Row("rules-walk", f"a walk of {_RULES} rules of ten kinds, no match", "µs", limit=25),
    Row("rules-walk-ip", "the same for an IPv6 address", "µs", limit=25),
    Row("rules-walk-suffixes", f"a walk of {_RULES} rules with a suffix each", "µs", limit=25),
)


MEASURES = (Measure("rules", _ROWS, (sample_of("tests.bench.rules", _LIMIT),), group="rules"),)


def measured() -> Figures:
    """All figures, of this process."""
    draw = random.Random(1)
    return {**_domains(draw), **_cidrs(draw), **_walks()}


def _domains(draw: random.Random) -> Figures:
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(3, 10))) for _ in range(60_000)]

    def some_name(letters: str) -> str:
        name = f"{draw.choice(words)}{draw.choice(letters)}.{draw.choice(_ENDS)}"
        return f"{draw.choice(words)}.{name}" if draw.random() < 0.35 else name

    names: set[str] = set()
    while len(names) < _SUFFIXES:
        names.add(some_name("abcdefghi"))
    suffixes = sorted(names)
    hits = [draw.choice(("", "www.", "a.b.")) + name for name in draw.sample(suffixes, _BATCH * _BATCHES)]
    misses = [some_name("qrst") for _ in range(_BATCH * _BATCHES)]
    with TemporaryDirectory() as folder:
        path = Path(folder, "x.set")
        path.write_bytes(pack([HeadlessRule(domain_suffix=tuple(suffixes))]))
        gc.collect()
        before = _own_memory()
        began = time.process_time()
        descriptor = from_file(path)
        packed = Packed(descriptor)
        Contents(packed, NO_CONTEXT).match(by_source=False)
        os.close(descriptor)
        took = time.process_time() - began
    trie = DomainTrie(packed.trie, 0)
    hit, miss = _look_ups(trie, hits), _look_ups(trie, misses)
    return {
        "rules-load": took * MILLI,
        "rules-memory": (_own_memory() - before) / 1e6,
        "rules-domain-hit": hit,
        "rules-domain-miss": miss,
    }


def _cidrs(draw: random.Random) -> Figures:
    texts = [f"{IPv4Address(draw.getrandbits(32))}/{draw.randint(16, 28)}" for _ in range(_PREFIXES)]
    ranges = read_prefixes(texts)
    from gproxy.route.cidrs import CidrSet

    found = CidrSet.of(ranges.four, ranges.six)
    return {"rules-cidr": _look_ups(found, [IPv4Address(draw.getrandbits(32)) for _ in range(_BATCH * _BATCHES)])}


def _look_ups(found: Container[Any], wanted: Sequence[Any]) -> float:
    """Microseconds for one, in the best tenth of all batches: what else this machine does is not asked for."""
    times = []
    for first in range(0, len(wanted), _BATCH):
        batch = wanted[first : first + _BATCH]
        began = time.process_time()
        for each in batch:
            each in found  # noqa: B015
        times.append((time.process_time() - began) / len(batch))
    return sorted(times)[len(times) // 10] * MICRO


_KINDS: tuple[Callable[[int], dict[str, Any]], ...] = (
    lambda n: {"domain_suffix": [f"s{n}.test", f"t{n}.test"]},
    lambda n: {"ip_cidr": [f"10.{n}.0.0/16", f"2001:db8:{n}::/48"]},
    lambda n: {"port": [n + 1, n + 1000]},
    lambda n: {"domain_keyword": f"kw{n}"},
    lambda n: {"auth_user": f"u{n}"},
    lambda n: {"domain": f"d{n}.test", "port": 443},
    lambda n: {"network": "udp", "port": 443},
    lambda n: {"source_ip_cidr": f"10.{n}.0.0/16"},
    lambda n: {"domain_suffix": f"x{n}.test", "ip_cidr": f"10.{n}.1.0/24"},
    lambda n: {"inbound": f"in{n}"},
)


def _walks() -> Figures:
    mixed = _router([_KINDS[number % len(_KINDS)](number) for number in range(_RULES)])
    suffixes = _router([{"domain_suffix": f"s{number}.test"} for number in range(_RULES)])
    return {
        "rules-walk": _walk(mixed, [f"www.n{number}.example.org" for number in range(_BATCH)]),
        "rules-walk-ip": _walk(mixed, [f"2001:db8:ffff::{number:x}" for number in range(_BATCH)]),
        "rules-walk-suffixes": _walk(suffixes, [f"www.m{number}.example.org" for number in range(_BATCH)]),
    }


def _router(rules: list[dict[str, Any]]) -> Router:
    problems: list[Problem] = []
    options = read(RouteOptions, {"rules": [{**rule, "outbound": "x"} for rule in rules]}, (), problems)
    assert options is not None, problems
    return Router(options.rules, "final")


def _walk(router: Router, hosts: Sequence[str]) -> float:
    source = Address(IPv4Address("192.0.2.1"), 50000)
    sessions = [Session(1, "tcp", "in", source, Address.parse(f"[{host}]:443" if ":" in host else f"{host}:443"))
                for host in hosts]  # fmt: skip
    times = []
    for first in range(0, len(sessions), 100):
        batch = sessions[first : first + 100]
        began = time.process_time()
        for session in batch:
            for _ in router.walk(session):
                pass
        times.append((time.process_time() - began) / len(batch))
    return sorted(times)[len(times) // 10] * MICRO


def _own_memory() -> int:
    """Bytes of this process that nothing else shares, or shares its part of (Pss)."""
    for line in Path("/proc/self/smaps_rollup").read_text("ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise WorkFailed("no Pss")


if __name__ == "__main__":
    print(json.dumps(measured()))
