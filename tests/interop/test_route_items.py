"""Rules about the client's process, its neighbourhood and this machine: real clients ask gproxy and sing-box.

Each rule has an inbound of its own; a client that gets through it is one that the rule matches. Clients are processes
of another user, and one on the other side of a wire.
"""

from __future__ import annotations

import grp
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.interop.lab import program
from tests.support.netns import own_network
from tests.support.origin import Server
from tests.support.ports import free_ports
from tests.support.procs import Processes

__all__ = ["own_network"]

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root becomes somebody else, and lays a wire")

NOBODY = 65534
PATH = os.path.realpath(sys.executable)
NAME = Path(PATH).name
OURS, ITS = "192.0.2.1", "192.0.2.2"
MAC = "02:00:5e:10:00:07"

Rule = Mapping[str, Any]

# Asks each port, as a SOCKS client, for the target, and prints which of them lead there.
CLIENT = """
import ctypes, json, os, socket, subprocess, sys
how = json.loads(sys.argv[1])
if how["wire"]:
    assert ctypes.CDLL(None).unshare(0x40000000) == 0
    print("ready", flush=True)
    sys.stdin.readline()
    for words in how["wire"]:
        subprocess.run(["ip", *words], check=True)
if how["user"]:
    os.setgroups([]); os.setgid(how["user"]); os.setuid(how["user"])
found = []
for port in how["ports"]:
    with socket.socket() as sock:
        sock.settimeout(10)
        if how["tos"]:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, how["tos"])
        sock.connect((how["proxy"], port))
        sock.sendall(b"\\x05\\x01\\x00")
        sock.recv(2)
        host, target = how["target"]
        sock.sendall(b"\\x05\\x01\\x00\\x01" + socket.inet_aton(host) + target.to_bytes(2, "big"))
        if sock.recv(2)[1:] == b"\\0":
            found.append(port)
print(json.dumps(found))
"""


class Doors:
    """A proxy with an inbound for each rule."""

    def __init__(self, rules: Sequence[Rule], more: Mapping[str, Any] | None = None) -> None:
        self.ports = dict(zip(free_ports(len(rules)), rules, strict=True))
        self.config: dict[str, Any] = {
            "log": {"level": "debug"},
            "inbounds": [
                {"type": "socks", "tag": str(port), "listen": "0.0.0.0", "listen_port": port} for port in self.ports
            ],
            "outbounds": [{"type": "direct", "tag": "direct"}],
            "route": {
                "rules": [
                    *({"inbound": [str(port)], **rule, "outbound": "direct"} for port, rule in self.ports.items()),
                    {"action": "reject"},
                ],
                **(more or {}),
            },
        }  # fmt: skip

    def start_gproxy(self, processes: Processes) -> None:
        route = self.config["route"]
        rules = [rule | ({"allow_internal": True} if "outbound" in rule else {}) for rule in route["rules"]]
        processes.gproxy(self.config | {"route": route | {"rules": rules}})

    def start_sing_box(self, processes: Processes) -> None:
        path = processes.folder / "sing-box.json"
        path.write_text(json.dumps(self.config))
        processes.start(program("sing-box"), "run", "-c", str(path), tcp=list(self.ports))

    def matched(self, site: Server, *, user: int = 0, tos: int = 0) -> list[Rule]:
        """The rules that a client of this machine fulfils."""
        return self._ask(
            {"user": user, "tos": tos, "wire": [], "proxy": "127.0.0.1", "target": ["127.0.0.1", site.port]}
        )

    def matched_by_neighbour(self, site: Server) -> list[Rule]:
        """The rules that a client on the other side of a wire fulfils."""
        wire = [
            ["link", "set", "there", "address", MAC], ["addr", "add", f"{ITS}/24", "dev", "there"],
            ["link", "set", "there", "up"],
        ]  # fmt: skip
        return self._ask({"user": 0, "tos": 0, "wire": wire, "proxy": OURS, "target": ["127.0.0.1", site.port]})

    def _ask(self, how: dict[str, Any]) -> list[Rule]:
        argument = json.dumps(how | {"ports": list(self.ports)})
        with subprocess.Popen(
            [sys.executable, "-c", CLIENT, argument], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as client:
            assert client.stdin is not None
            assert client.stdout is not None
            if how["wire"]:
                assert client.stdout.readline() == "ready\n"
                ip("link", "add", "here", "type", "veth", "peer", "name", "there")
                ip("addr", "add", f"{OURS}/24", "dev", "here")
                ip("link", "set", "here", "up")
                ip("link", "set", "there", "netns", str(client.pid))
            said = client.communicate("go\n", timeout=30)[0]
        return [self.ports[port] for port in json.loads(said)]


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def of_this_user(user: int) -> list[tuple[Rule, bool]]:
    """Rules about a process, and whether a client of this user fulfils them."""
    return [
        ({"process_name": NAME}, True),
        ({"process_name": ["curl", "no-such"]}, False),
        ({"process_path": [PATH]}, True),
        ({"process_path": NAME}, False),
        ({"process_path_regex": r"/python[0-9.]+$"}, True),
        ({"process_path_regex": "^python"}, False),
        ({"user_id": [user]}, True),
        ({"user_id": user + 1}, False),
        ({"user": "nobody"}, user == NOBODY),
        ({"user": ["root"]}, user == 0),
        ({"user_id": user, "process_name": "curl"}, False),
    ]


MACHINE: list[tuple[Rule, bool]] = [
    ({"interface_address": {"lo": ["127.0.0.0/8"]}}, True),
    ({"interface_address": {"lo": ["10.0.0.0/8", "127.0.0.9"]}}, True),
    ({"interface_address": {"lo": "127.0.0.0/8", "no-such": "127.0.0.0/8"}}, False),
    ({"network_type": "wifi"}, False),
    ({"network_is_expensive": True}, False),
    ({"package_name": "com.example"}, False),
    ({"clash_mode": "global"}, False),
]


@pytest.mark.parametrize("proxy", ["gproxy", "sing-box"])
@pytest.mark.parametrize("user", [0, NOBODY])
def test_the_clients_process(proxy: str, user: int, processes: Processes, site: Server) -> None:
    table = of_this_user(user) + MACHINE
    doors = Doors([rule for rule, _ in table])
    doors.start_gproxy(processes) if proxy == "gproxy" else doors.start_sing_box(processes)
    assert doors.matched(site, user=user) == [rule for rule, wanted in table if wanted]


LEASES = f"0 {MAC} {ITS} Laptop *\n"

NEIGHBOUR: list[tuple[Rule, bool]] = [
    ({"source_mac_address": MAC}, True),
    ({"source_mac_address": ["02:00:5e:10:00:08"]}, False),
    ({"source_mac_address": MAC.upper().replace(":", "-")}, True),
    ({"source_hostname": "Laptop"}, True),
    ({"source_hostname": "phone"}, False),
    ({"process_name": NAME}, False),
    ({"user_id": 0}, False),
]


@pytest.mark.parametrize("proxy", ["gproxy", "sing-box"])
def test_a_neighbour(proxy: str, processes: Processes, site: Server, tmp_path: Path) -> None:
    leases = tmp_path / "dnsmasq.leases"
    leases.write_text(LEASES)
    table = NEIGHBOUR
    if (
        proxy == "sing-box"
    ):  # it asks its own table, which takes a while to fill, and compares names as they are written
        table = [each for each in NEIGHBOUR if "source_hostname" not in each[0]]
    doors = Doors([rule for rule, _ in table], {"find_neighbor": True, "dhcp_lease_files": [str(leases)]})
    doors.start_gproxy(processes) if proxy == "gproxy" else doors.start_sing_box(processes)
    assert doors.matched_by_neighbour(site) == [rule for rule, wanted in table if wanted]


def test_what_only_gproxy_asks(processes: Processes, site: Server) -> None:
    group = grp.getgrgid(0).gr_name
    table: list[tuple[Rule, bool]] = [
        ({"user_group": [group]}, True),
        ({"user_group": "no-such"}, False),
        ({"dscp": "ef"}, True),
        ({"dscp": [0, "cs1"]}, False),
        ({"time_of_day": "00:00-24:00"}, True),
        ({"time_of_day": ["00:00-12:00", "12:00-24:00"], "time_zone": "UTC"}, True),
        ({"weekday": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]}, True),
        ({"source_geoip": "private"}, True),
        ({"clash_mode": "Global"}, True),
    ]
    doors = Doors([rule for rule, _ in table], {"default_mode": "global"})
    doors.start_gproxy(processes)
    assert doors.matched(site, tos=46 << 2) == [rule for rule, wanted in table if wanted]


DATAGRAM = """
import os, socket, sys
user, port = map(int, sys.argv[1:])
if user:
    os.setgroups([]); os.setgid(user); os.setuid(user)
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(1)
sock.sendto(b"ping", ("127.0.0.1", port))
try:
    print(sock.recv(10).decode())
except TimeoutError:
    print("nothing")
"""


def answer_for(user: int, port: int) -> str:
    """What a client of this user gets back for a datagram."""
    command = [sys.executable, "-c", DATAGRAM, str(user), str(port)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("workers", [0, 2])
def test_the_process_that_sends_datagrams(workers: int, processes: Processes, udp_echo_server: Server) -> None:
    (port,) = free_ports(1)
    config = {
        "runtime": {"workers": workers},
        "inbounds": [{
            "type": "direct", "network": "udp", "listen": "0.0.0.0", "listen_port": port,
            "override_address": "127.0.0.1", "override_port": udp_echo_server.port,
        }],
        "outbounds": [{"type": "direct", "tag": "direct"}],
        "route": {"rules": [{"user": "nobody", "process_name": NAME, "outbound": "direct"}, {"action": "reject"}]},
    }  # fmt: skip
    processes.gproxy(config, udp=[port])
    assert answer_for(NOBODY, port) == "ping"
    assert answer_for(0, port) == "nothing"
