from __future__ import annotations

import os
import subprocess
import sys
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from gproxy.dns.fakeip import FakeAddresses
from gproxy.limit.memory import Memory

FOUR, SIX = IPv4Network("198.18.0.0/15"), IPv6Network("fc00::/18")
FEW = IPv4Network("192.0.2.0/28")


def test_an_address_stands_for_a_name_and_back() -> None:
    fakes = FakeAddresses(Memory(), FOUR, SIX)
    assert fakes.address_for("a.test", 4) == IPv4Address("198.18.0.2")
    assert fakes.address_for("b.test", 6) == IPv6Address("fc00::3")
    assert fakes.address_for("a.test", 6) == IPv6Address("fc00::2"), "a name has the same place in both"
    assert fakes.address_for("a.test", 4) == IPv4Address("198.18.0.2")
    assert fakes.name_of(IPv4Address("198.18.0.2")) == "a.test"
    assert fakes.name_of(IPv6Address("fc00::3")) == "b.test"
    assert fakes.name_of(IPv4Address("198.18.0.9")) == ""
    assert fakes.name_of(IPv4Address("198.18.0.0")) == ""
    assert fakes.name_of(IPv4Address("198.19.255.255")) == ""
    assert fakes.name_of(IPv4Address("198.20.0.0")) is None
    assert fakes.name_of(IPv6Address("fe80::1")) is None


def test_one_family_alone() -> None:
    fakes = FakeAddresses(Memory(), None, SIX)
    assert fakes.address_for("a.test", 4) is None
    assert fakes.address_for("a.test", 6) == IPv6Address("fc00::2")
    assert fakes.name_of(IPv4Address("198.18.0.2")) is None


def test_when_all_are_given_the_oldest_gets_another_name() -> None:
    fakes = FakeAddresses(Memory(), FEW, None)
    given = [fakes.address_for(f"{number}.test", 4) for number in range(13)]
    assert len(set(given)) == 13
    assert max(given) == IPv4Address("192.0.2.14")  # type: ignore[type-var]  # never the broadcast address
    assert fakes.address_for("new.test", 4) == given[0]
    assert fakes.name_of(IPv4Address("192.0.2.2")) == "new.test"
    assert fakes.address_for("0.test", 4) == given[1], "it has lost its address"
    assert fakes.address_for("5.test", 4) == given[5]


def test_many_names() -> None:
    fakes = FakeAddresses(Memory(), FOUR, None)
    names = [f"host-{number}.example.test" for number in range(3000)]
    given = {name: fakes.address_for(name, 4) for name in names}
    assert len(set(given.values())) == len(names)
    assert all(fakes.address_for(name, 4) == ip for name, ip in given.items())


def test_a_name_that_is_too_long_has_none() -> None:
    fakes = FakeAddresses(Memory(), FOUR, None)
    assert fakes.address_for("a" * 300, 4) is None
    assert fakes.address_for("a." * 126 + "b", 4) is not None


def test_other_generations_know_it_too_if_the_ranges_are_the_same() -> None:
    memory = Memory()
    given = FakeAddresses(memory, FOUR, None).address_for("a.test", 4)
    assert given is not None
    assert FakeAddresses(memory, FOUR, None).name_of(given) == "a.test"
    assert FakeAddresses(memory, FOUR, SIX).name_of(given) == ""


def test_all_may_be_forgotten() -> None:
    fakes = FakeAddresses(Memory(), FOUR, None)
    given = fakes.address_for("a.test", 4)
    assert given is not None
    fakes.clear()
    assert fakes.name_of(given) == ""
    assert fakes.address_for("b.test", 4) == IPv4Address("198.18.0.3")


ASKER = """
import sys
from ipaddress import IPv4Network
from gproxy.dns.fakeip import FakeAddresses
from gproxy.limit.memory import Memory
fakes = FakeAddresses(Memory.adopt(int(sys.argv[1])), IPv4Network("198.18.0.0/15"), None)
print("ready", flush=True)
sys.stdin.readline()
print(" ".join(str(fakes.address_for(f"{number}.test", 4)) for number in range(2000)))
"""


def test_two_workers_that_ask_at_once_get_the_same() -> None:
    memory = Memory()
    askers = [
        subprocess.Popen(
            [sys.executable, "-c", ASKER, str(memory.fd)],
            pass_fds=[memory.fd],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for each in askers:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in askers:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    one, other = (each.communicate(timeout=50)[0].split() for each in askers)
    assert one == other
    assert len(set(one)) == 2000
    assert os.fstat(memory.fd).st_blocks * 512 < 4 << 20
