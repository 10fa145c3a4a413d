"""Rule sets out of nothing: source files with every item, the same for the same seed."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from typing import Any

Tree = dict[str, Any]

MOST_RULES = 2000

_PLAIN_LABELS = ("a", "b", "www", "mail", "example", "ads", "x-y", "a1", "co", "com", "org", "net", "de", "uk", "test")
_LABELS = (
    "a", "b", "www", "mail", "example", "ads", "x--y", "_dmarc", "xn--bcher-kva", "bücher", "日本", "例え", "1", "0-0",
    "UPPER", "a" * 63, "é", "e\u0301", "🙂", "ß", "*", "a b", "co", "com", "org", "net", "de", "uk", "test",
)  # fmt: skip
_TYPES = ("A", "AAAA", "HTTPS", "MX", "TXT", "ANY", "NSAP-PTR", "SVCB", 0, 28, 11, 65, 300, 65280, 65535)
_OF_THE_MACHINE = {"network_type", "wifi_ssid", "wifi_bssid", "default_interface_address"}
_ODD_DOMAINS = ("a..b", ".", "..", "-", ".a.", "a.", "x" * 300, "\u200b", "\U0010ffff", "a/b", '"', "\\", "<&>")


def rule_set(seed: int, *, plain: bool = False) -> Tree:
    """A source file of 1 to 2,000 rules; small ones are as frequent as large ones.

    A plain one has only names that DNS has, in lower case, and no IPv4-mapped addresses, which are IPv4 for us; and it
    asks for nothing that depends on the machine.
    """
    made = _Made(seed, plain=plain)
    count = round(math.exp(made.random.uniform(0, math.log(MOST_RULES))))
    return {"version": made.version, "rules": [made.rule(0) for _ in range(count)]}


def queries(tree: Tree, seed: int, count: int) -> list[str]:
    """Domains and addresses that lie in, beside and far from what the rules of a plain file name."""
    chosen = random.Random(seed)
    names, networks = _named(tree["rules"])
    found = []
    for _ in range(count):
        if networks and chosen.random() < 0.4:
            found.append(_address_near(chosen.choice(networks), chosen))
        elif names and chosen.random() < 0.9:
            found.append(_name_near(chosen.choice(names), chosen))
        else:
            found.append(".".join(chosen.choices(_PLAIN_LABELS, k=chosen.randint(1, 4))))
    return found


class _Made:
    """Makes one file."""

    def __init__(self, seed: int, *, plain: bool) -> None:
        self.random = random.Random(seed)
        self.plain = plain
        self.labels = _PLAIN_LABELS if plain else _LABELS
        self.version = 1 + seed % 5
        makers: dict[str, tuple[int, Callable[[], Any]]] = {
            "query_type": (1, lambda: self.random.choice(_TYPES)),
            "network": (1, lambda: self.random.choice(("tcp", "udp", "icmp"))),
            "domain": (1, self.domain),
            "domain_suffix": (1, self.suffix),
            "domain_keyword": (1, lambda: self.random.choice(self.labels)),
            "domain_regex": (1, lambda: self.random.choice((r"^ads?\.", r"\d+$", "(?i)bücher", "a|b", "[a-z]{2,}"))),
            "source_ip_cidr": (1, self.prefix),
            "ip_cidr": (1, self.prefix),
            "source_port": (1, self.port),
            "source_port_range": (1, self.port_range),
            "port": (1, self.port),
            "port_range": (1, self.port_range),
            "process_name": (1, lambda: self.random.choice(("curl", "Firefox", "プロセス", "a b"))),
            "process_path": (1, lambda: self.random.choice(("/usr/bin/curl", "/opt/ü/x"))),
            "process_path_regex": (1, lambda: self.random.choice(("^/usr/", "bin/.+"))),
            "package_name": (1, lambda: f"org.example.app{self.random.randrange(9)}"),
            "package_name_regex": (5, lambda: self.random.choice((r"^org\.", "google"))),
            "network_type": (3, lambda: self.random.choice(("wifi", "cellular", "ethernet", "other"))),
            "wifi_ssid": (1, lambda: self.random.choice(("home", "Café", "🙂"))),
            "wifi_bssid": (1, lambda: f"00:11:22:33:44:{self.random.randrange(256):02x}"),
            "default_interface_address": (4, self.prefix),
        }
        self._makers = {
            item: make
            for item, (since, make) in makers.items()
            if since <= self.version and not (plain and item in _OF_THE_MACHINE)
        }

    def rule(self, depth: int) -> Tree:
        """One rule; below others if it is logical."""
        if depth < 4 and self.random.random() < 0.1:
            mode, count = self.random.choice(("and", "or")), self.random.randint(1, 4)
            rule = {"type": "logical", "mode": mode, "rules": [self.rule(depth + 1) for _ in range(count)]}
        else:
            rule = self.default()
        return rule | ({"invert": True} if self.random.random() < 0.15 else {})

    def default(self) -> Tree:
        """Few items or all, with one value or some, mostly of domains and addresses."""
        chance = self.random.random()
        if chance < 0.5:
            items = [self.random.choice(("domain", "domain_suffix", "ip_cidr", "domain_keyword"))]
        elif chance < 0.98:
            items = self.random.sample(list(self._makers), self.random.randint(1, 4))
        else:
            items = list(self._makers)
        rule: Tree = {item: self.values(self._makers[item]) for item in items}
        if self.plain:
            return rule
        if self.version >= 3 and self.random.random() < 0.05:
            rule[self.random.choice(("network_is_expensive", "network_is_constrained"))] = True
        if self.version >= 4 and self.random.random() < 0.05:
            kinds = self.random.sample(("wifi", "cellular", "ethernet", "other"), self.random.randint(1, 3))
            rule["network_interface_address"] = {kind: self.values(self.prefix) for kind in kinds}
        return rule

    def values(self, make: Callable[[], Any]) -> Any:
        """One value, or a list, now and then a long one, with some values twice."""
        chance = self.random.random()
        if chance < 0.3:
            return make()
        return [make() for _ in range(self.random.randint(1, 4 if chance < 0.97 else 60))]

    def domain(self) -> str:
        if not self.plain and self.random.random() < 0.03:
            return self.random.choice(_ODD_DOMAINS)
        return ".".join(self.random.choices(self.labels, k=self.random.randint(1, 4)))

    def suffix(self) -> str:
        return ("." if self.random.random() < 0.4 else "") + self.domain()

    def port(self) -> int:
        return self.random.choice((0, 1, 53, 80, 443, 65535, self.random.randrange(65536)))

    def port_range(self) -> str:
        low, high = sorted((self.random.randrange(65536), self.random.randrange(65536)))
        return self.random.choice((f"{low}:{high}", f":{high}", f"{low}:"))

    def prefix(self) -> str:
        """Of either family, at times an address alone; often bits are set that the prefix does not cover."""
        if self.random.random() < 0.6:
            address = f"10.{self.random.randrange(4)}.{self.random.randrange(256)}.{self.random.randrange(256)}"
            width = 32
        else:
            start = self.random.choice(
                ("2001:db8::", "fd00::", "fe80::1:0", "::", "::ffff:0:0")[: 3 if self.plain else 5]
            )
            address, width = f"{start.removesuffix('0')}{self.random.randrange(65536):x}", 128
        chance = self.random.random()
        if chance < 0.3:
            return address
        return f"{address}/{self.random.randint(width // 2, width) if chance < 0.95 else self.random.randint(8, width)}"


def _named(rules: list[Tree]) -> tuple[list[str], list[str]]:
    names: list[str] = []
    networks: list[str] = []
    for rule in rules:
        if "rules" in rule:
            inner = _named(rule["rules"])
            names += inner[0]
            networks += inner[1]
        for item in ("domain", "domain_suffix", "domain_keyword"):
            names += _listed(rule, item)
        networks += _listed(rule, "ip_cidr")
    return names, networks


def _listed(rule: Mapping[str, Any], item: str) -> list[str]:
    value = rule.get(item, [])
    return value if isinstance(value, list) else [value]


def _address_near(network: str, chosen: random.Random) -> str:
    from ipaddress import ip_network

    found = ip_network(network, strict=False)
    span = found.num_addresses
    number = int(found.network_address) + chosen.choice((-1, 0, span // 2, span - 1, span))
    number = min(max(number, 0), 2**found.max_prefixlen - 1)
    return str(type(found.network_address)(number))


def _name_near(name: str, chosen: random.Random) -> str:
    name = name.removeprefix(".") or "a"
    return chosen.choice(
        (name, f"www.{name}", f"x{name}", f"a.b.{name}", name.upper(), name[1:].strip("-.") or name, f"{name}.x")
    )
