"""gproxy's kinds of DNS servers, each asked in this process, with servers of other makers at the other end."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from gproxy.app.layers import Trusted, connecting, system_dialer
from gproxy.base.address import UNSPECIFIED, Address
from gproxy.base.errors import DialError
from gproxy.base.session import Session
from gproxy.dns import SERVERS
from gproxy.dns.iface import Ask, Server, ServerWiring
from gproxy.dns.servers import dhcp
from gproxy.dns.servers.dhcp import discover
from gproxy.rt.deadline import deadline
from gproxy.rt.group import Group
from gproxy.schema.groups import Dial
from gproxy.schema.model import read
from gproxy.schema.tls import Authorities
from gproxy.wire.dns import types
from gproxy.wire.dns.message import Edns, Message, addresses_of, make_query, parse
from tests.e2e.tools import shown
from tests.interop import nameservers
from tests.interop.lab import program
from tests.interop.nameservers import MANY, SLOW, Ports
from tests.support.netns import module_network as own_network
from tests.support.ports import LOOPBACK, free_ports
from tests.support.procs import Process, Processes
from tests.support.tls import NAME, Certificate
from tests.support.wait import wait_until

__all__ = ["own_network"]

PEERS = ["unbound", "dnsdist", "named", "dnsmasq"]
KINDS = ["udp", "tcp", "tls", "https", "get"]
PAIRS = [(kind, peer) for peer in PEERS for kind in KINDS if peer != "dnsmasq" or kind in ("udp", "tcp")]
SESSION = Session(1, "udp", "in", UNSPECIFIED, Address("asked.test", 443))


@pytest.fixture(scope="module")
def peers(lasting: Processes, certificate: Certificate) -> dict[str, Ports]:
    """All of them."""
    unbound = Ports(*free_ports(3))
    nameservers.unbound(lasting, certificate, unbound)
    return {
        "unbound": unbound,
        "dnsdist": nameservers.dnsdist(lasting, certificate, unbound.plain),
        "named": nameservers.named(lasting, certificate),
        "dnsmasq": nameservers.dnsmasq(lasting),
    }


def server(kind: str, port: int, authority: Any = None, **tree: Any) -> Server:
    """One of gproxy's, as the configuration has it."""
    tree = {"type": kind, "tag": "up", "server": LOOPBACK, "server_port": port, **tree}
    if authority is not None:
        tree["tls"] = {"server_name": NAME, "certificate_path": str(authority), **tree.get("tls", {})}
    return build(tree)


def build(tree: dict[str, Any]) -> Server:
    problems: list[Any] = []
    row = SERVERS.row(tree["type"])
    options = read(row.options, tree, (), problems)
    assert options is not None, problems
    via = system_dialer(options if isinstance(options, Dial) else Dial())
    connect = connecting(options, via, Trusted(Authorities()))
    made: Server = row.build(options, ServerWiring("up", connect, via, via.lookup, {}, logging.getLogger("tests")))
    return made


def of(kind: str, ports: Ports, certificate: Certificate) -> Server:
    """One of gproxy's that asks a peer by this kind of way."""
    if kind in ("udp", "tcp"):
        return server(kind, ports.plain)
    if kind == "tls":
        return server(kind, ports.tls, certificate.authority)
    return server("https", ports.https, certificate.authority, method="GET" if kind == "get" else "POST")


@pytest.fixture
def asked(kind: str, peer: str, peers: dict[str, Ports], certificate: Certificate) -> Iterator[Server]:
    """A server for each pair of a kind and a peer."""
    made = of(kind, peers[peer], certificate)
    yield made
    made.close()


def exchange(made: Server, name: str, kind: int = types.A, seconds: float = 5) -> Message:
    with deadline(seconds, DialError("late", reason="timeout")):
        answer = parse(made.exchange(Ask(name, kind, make_query(name, kind, edns=Edns()), SESSION)))
    assert (answer.id, answer.response, answer.question) == (0, True, (name, kind, 1))
    return answer


@pytest.mark.parametrize(("kind", "peer"), PAIRS)
def test_all_kinds_of_answers(kind: str, peer: str, asked: Server) -> None:
    assert addresses_of(exchange(asked, NAME)) == (ip_address(LOOPBACK),)
    assert addresses_of(exchange(asked, NAME, types.AAAA)) == (ip_address("::1"),)
    assert set(map(str, addresses_of(exchange(asked, f"two.{NAME}")))) == {"127.0.0.2", "127.0.0.3"}
    assert exchange(asked, f"text.{NAME}", types.TXT).answer[0].data == b"\x05hello"
    assert exchange(asked, f"none.{NAME}").rcode == types.NXDOMAIN
    assert exchange(asked, NAME, types.MX).answer == ()
    assert set(map(str, addresses_of(exchange(asked, f"big.{NAME}")))) == set(MANY)


@pytest.mark.parametrize(("kind", "peer"), PAIRS)
def test_many_at_once(kind: str, peer: str, asked: Server) -> None:
    wrong: list[object] = []

    def one(number: int) -> None:
        try:
            found = addresses_of(exchange(asked, f"n{number}.{NAME}", seconds=10))
            if found != (ip_address(f"203.0.113.{number}"),):
                wrong.append((number, found))
        except DialError as error:
            wrong.append((number, str(error)))

    with Group("asks") as group:
        for number in range(200):
            group.spawn(one, number)
        assert group.join(15)
    assert wrong == []


@pytest.mark.parametrize("peer", ["dnsdist"])
@pytest.mark.parametrize("kind", KINDS)
def test_odd_answers(kind: str, peer: str, asked: Server) -> None:
    assert exchange(asked, f"servfail.{NAME}").rcode == types.SERVFAIL
    assert addresses_of(exchange(asked, f"fake.{NAME}")) == (ip_address("127.0.0.9"),)
    assert addresses_of(exchange(asked, f"cut.{NAME}")) == (ip_address("127.0.0.7"),)
    with pytest.raises(DialError):
        exchange(asked, f"drop.{NAME}", seconds=0.3)
    assert exchange(asked, f"slow.{NAME}", seconds=SLOW + 4).rcode in (types.NOERROR, types.NXDOMAIN)
    assert addresses_of(exchange(asked, NAME)) == (ip_address(LOOPBACK),), "nothing else is disturbed"


@pytest.mark.parametrize(("protocol", "method"), [("h1", "POST"), ("h1", "GET"), ("h2", "POST"), ("h2", "GET")])
def test_https_behind_a_web_server(
    protocol: str, method: str, peers: dict[str, Ports], certificate: Certificate, processes: Processes
) -> None:
    protocols = ("h1",) if protocol == "h1" else ("h1", "h2")
    port = nameservers.caddy(processes, certificate, peers["unbound"].https, *protocols)
    made = server("https", port, certificate.authority, method=method)
    for number in range(5):
        assert addresses_of(exchange(made, f"n{number}.{NAME}")) == (ip_address(f"203.0.113.{number}"),)
    made.close()
    wrong = server("https", port, certificate.authority, path="/elsewhere")
    with pytest.raises(DialError, match="HTTP status"):
        exchange(wrong, NAME)
    wrong.close()


@pytest.mark.parametrize("kind", ["tls", "https"])
def test_a_server_that_is_somebody_else(kind: str, peers: dict[str, Ports], certificate: Certificate) -> None:
    ports = peers["unbound"]
    port = ports.tls if kind == "tls" else ports.https
    for tls in ({"server_name": "other.test"}, {"certificate_path": ""}):
        made = server(kind, port, certificate.authority, tls=tls)
        with pytest.raises(DialError, match=r"DNS server up: the certificate of ") as caught:
            exchange(made, NAME)
        assert caught.value.reason == "dns"
        made.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_starts_anew(kind: str, certificate: Certificate, processes: Processes) -> None:
    ports = Ports(*free_ports(3))
    first = nameservers.unbound(processes, certificate, ports)
    made = of(kind, ports, certificate)
    assert addresses_of(exchange(made, NAME)) == (ip_address(LOOPBACK),)
    first.stop()
    with pytest.raises(DialError):
        exchange(made, f"n1.{NAME}", seconds=1)
    nameservers.unbound(processes, certificate, ports)
    assert addresses_of(exchange(made, f"n1.{NAME}")) == (ip_address("203.0.113.1"),)
    made.close()


# -- the network's own -------------------------------------------------------------------------------------------------


@pytest.fixture
def link(processes: Processes) -> Iterator[Process]:
    """A network of two: this namespace, `a0`, and another one, `r0`, that the process given has."""
    other = processes.start(program("unshare"), "-n", "sleep", "60")
    here = Path("/proc/self/ns/net").stat().st_ino
    wait_until(lambda: Path(f"/proc/{other.pid}/ns/net").stat().st_ino not in (here, _our_network()), "no namespace")
    shown("ip", "link", "add", "a0", "type", "veth", "peer", "name", "r0")
    shown("ip", "link", "set", "r0", "netns", str(other.pid))
    shown("ip", "link", "set", "a0", "up")
    for words in ("addr add 10.231.0.1/24 dev r0", "link set lo up", "link set r0 up"):
        shown(*_inside(other), "ip", *words.split())
    yield other
    shown("ip", "link", "del", "a0")


def _our_network() -> int:
    return Path("/proc/thread-self/ns/net").stat().st_ino


def _inside(other: Process) -> list[str]:
    return [program("nsenter"), "-t", str(other.pid), "-n"]


def test_dhcp(link: Process, processes: Processes) -> None:
    home = processes.open_folder()
    (home / "leases").touch()
    (home / "dhcpd.conf").write_text(
        "authoritative;\ndefault-lease-time 600;\nsubnet 10.231.0.0 netmask 255.255.255.0 {\n"
        "  range 10.231.0.100 10.231.0.150;\n  option domain-name-servers 10.231.0.1, 10.231.0.2;\n"
        '  option domain-search "peer.test", "lan.test";\n}\n'
    )
    files = ["-cf", str(home / "dhcpd.conf"), "-lf", str(home / "leases"), "-pf", str(home / "pid")]
    daemon = processes.start(*_inside(link), program("dhcpd"), "-4", "-f", "-d", "--no-pid", *files, "r0")
    daemon.wait_log("Sending on")
    told = discover("a0")
    assert told.servers == (ip_address("10.231.0.1"), ip_address("10.231.0.2"))
    assert told.search == ("peer.test", "lan.test")
    assert told.lease == 600
    shown("ip", "addr", "add", "10.231.0.7/24", "dev", "a0")
    options = ["-k", "-d", "--user=", "--pid-file=", "--no-resolv", "--no-hosts", "--conf-file=/dev/null"]
    names = ["--host-record=host.peer.test,203.0.113.9", "--local=/peer.test/"]
    nameserver = processes.start(*_inside(link), program("dnsmasq"), *options, *names)
    nameserver.wait_log("started")
    made = build({"type": "dhcp", "tag": "up", "interface": "a0"})
    assert addresses_of(exchange(made, "host.peer.test")) == (ip_address("203.0.113.9"),)
    assert addresses_of(exchange(made, "host")) == (ip_address("203.0.113.9"),), "by the domain that the network names"
    made.close()


def test_no_dhcp_server(link: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dhcp, "WAIT", 0.2)
    made = build({"type": "dhcp", "tag": "up", "interface": "a0"})
    with pytest.raises(DialError, match="DNS server up: no DHCP server answers on a0"):
        exchange(made, NAME)
    made.close()


def test_mdns(link: Process, processes: Processes) -> None:
    shown("ip", "addr", "add", "10.231.0.7/24", "dev", "a0")
    home = processes.open_folder()
    (home / "avahi.conf").write_text(
        "[server]\nhost-name=there\nuse-ipv4=yes\nuse-ipv6=yes\nenable-dbus=no\nallow-interfaces=r0\n"
        "[wide-area]\nenable-wide-area=no\n[publish]\npublish-hinfo=yes\npublish-workstation=yes\n[rlimits]\n"
    )
    command = [program("avahi-daemon"), "--no-drop-root", "--no-chroot", "-f", str(home / "avahi.conf")]
    daemon = processes.start(*_inside(link), program("unshare"), "-m", "sh", "-c", _OWN_RUN, *command)
    daemon.wait_log("Server startup complete")
    every = build({"type": "mdns", "tag": "up"})
    assert addresses_of(exchange(every, "there.local")) == (ip_address("10.231.0.1"),)
    every.close()
    made = build({"type": "mdns", "tag": "up", "interface": "a0"})
    assert addresses_of(exchange(made, "there.local")) == (ip_address("10.231.0.1"),)
    six = addresses_of(exchange(made, "there.local", types.AAAA))
    assert [each.is_link_local for each in six] == [True]
    assert exchange(made, "_workstation._tcp.local", types.PTR).answer
    assert exchange(made, "1.0.231.10.in-addr.arpa", types.PTR).answer
    with pytest.raises(DialError, match=r"no neighbour answers for away\.local"):
        exchange(made, "away.local")
    made.close()
    local = build({"type": "local", "tag": "up"})
    assert addresses_of(exchange(local, "there.local")) == (ip_address("10.231.0.1"),)
    local.close()


# Its files are where those of another one on this machine are.
_OWN_RUN = 'mount -t tmpfs none /run && mkdir /run/avahi-daemon && exec "$0" "$@"'
