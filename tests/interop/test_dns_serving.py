"""gproxy as a name server for clients of other makers: by UDP, TCP, TLS, HTTPS, and for sessions of other inbounds."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from gproxy.wire.dns import types
from gproxy.wire.dns.message import Edns, addresses_of, make_query, parse
from tests.interop.lab import Association, dial, program
from tests.support.netns import module_network as own_network
from tests.support.origin import HELLO, http_origin
from tests.support.ports import LOOPBACK, free_port, free_ports
from tests.support.procs import Processes, curl, run
from tests.support.tls import NAME, Certificate

__all__ = ["own_network"]

ADDRESS = "192.0.2.1"
MANY = [f"198.51.100.{number}" for number in range(1, 121)]
SERVER = ("9.9.9.9", 53)  # nobody of that address is there


@dataclass(frozen=True)
class Ports:
    """Where gproxy serves names."""

    plain: int
    tls: int
    https: int
    http: int  # DNS over HTTPS without TLS, as behind a web server
    closed: int  # for nobody
    socks: int  # and what goes to port 53 is answered


@pytest.fixture(scope="module")
def unbound(lasting: Processes) -> int:
    """Unbound, which knows some names by itself; its port."""
    port = free_port()
    data = [f'local-data: "one.{NAME}. 300 A {ADDRESS}"', f'local-data: "here.{NAME}. 300 A {LOOPBACK}"']
    data += [f'local-data: "many.{NAME}. 300 A {address}"' for address in MANY]
    data += [f'local-data: "n{number}.{NAME}. 300 A 203.0.113.{number}"' for number in range(200)]
    home = lasting.open_folder()
    lines = [
        f"interface: {LOOPBACK}@{port}", 'username: ""', 'chroot: ""', f'directory: "{home}"', "use-syslog: no",
        'logfile: ""', "do-daemonize: no", "num-threads: 1", "module-config: iterator", f'pidfile: "{home}/pid"',
        f'local-zone: "{NAME}." static', f'local-data: "{NAME}. 300 SOA ns.{NAME}. root.{NAME}. 1 2 3 4 60"', *data,
    ]  # fmt: skip
    path = home / "unbound.conf"
    path.write_text("server:\n" + "".join(f"  {line}\n" for line in lines) + "remote-control:\n  control-enable: no\n")
    lasting.start(program("unbound"), "-d", "-p", "-c", str(path), tcp=[port], udp=[port])
    return port


@pytest.fixture(scope="module")
def ports(lasting: Processes, unbound: int, certificate: Certificate) -> Ports:
    ports = Ports(*free_ports(6))
    shown = {"enabled": True, "certificate_path": str(certificate.chain), "key_path": str(certificate.key)}
    local = {"listen": LOOPBACK}
    lasting.gproxy(
        {
            "runtime": {"stop_grace": "10ms"},
            "dns": {"servers": [{"type": "udp", "tag": "up", "server": LOOPBACK, "server_port": unbound}]},
            "inbounds": [
                {"type": "dns", "tag": "plain", **local, "listen_port": ports.plain},
                {"type": "dns", "tag": "tls", **local, "listen_port": ports.tls, "tls": shown},
                {"type": "dns", "tag": "https", **local, "listen_port": ports.https, "protocol": "https", "tls": shown},
                {"type": "dns", "tag": "http", **local, "listen_port": ports.http, "protocol": "https"},
                {"type": "dns", "tag": "closed", **local, "listen_port": ports.closed, "allow": "192.0.2.0/24"},
                {"type": "socks", "tag": "socks", **local, "listen_port": ports.socks},
            ],
            "route": {"rules": [{"port": 53, "action": "hijack-dns"}]},
        },
        udp=[ports.plain, ports.closed],
    )
    return ports


def kdig(port: int, *words: str, server: str = LOOPBACK) -> str:
    """What kdig prints. Raises AssertionError."""
    done = run(program("kdig"), f"@{server}", "-p", str(port), "+timeout=3", "+retry=1", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.decode()


def by_tls(certificate: Certificate) -> list[str]:
    return ["+tls", f"+tls-ca={certificate.authority}", f"+tls-hostname={NAME}"]


def by_https(certificate: Certificate, form: str = "+https") -> list[str]:
    return [form, f"+tls-ca={certificate.authority}", f"+tls-hostname={NAME}"]


# -- the four ways ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["udp", "tcp", "tls", "https", "https-get"])
def test_kdig(way: str, ports: Ports, certificate: Certificate) -> None:
    words = {
        "udp": [], "tcp": ["+tcp"], "tls": by_tls(certificate), "https": by_https(certificate),
        "https-get": by_https(certificate, "+https-get"),
    }[way]  # fmt: skip
    port = {"udp": ports.plain, "tcp": ports.plain, "tls": ports.tls}.get(way, ports.https)
    said = kdig(port, *words, "+short", f"one.{NAME}", "A", f"many.{NAME}", "A").split()
    assert said[0] == ADDRESS
    assert sorted(said[1:]) == sorted(MANY)
    assert "NXDOMAIN" in kdig(port, *words, f"nothing.{NAME}")
    assert "RFC8482" in kdig(port, *words, f"one.{NAME}", "ANY")


@pytest.mark.parametrize("way", ["tcp", "tls", "https"])
def test_many_questions_on_one_connection(way: str, ports: Ports, certificate: Certificate) -> None:
    words = {"tcp": ["+tcp"], "tls": by_tls(certificate), "https": by_https(certificate)}[way]
    port = {"tcp": ports.plain, "tls": ports.tls, "https": ports.https}[way]
    names = [f"n{number}.{NAME}" for number in range(40)]
    said = kdig(port, *words, "+keepopen", "+short", *names).split()
    assert said == [f"203.0.113.{number}" for number in range(40)]


def test_dig_comes_back_by_tcp_for_what_is_cut(ports: Ports) -> None:
    done = run(program("dig"), f"@{LOOPBACK}", "-p", str(ports.plain), f"many.{NAME}")
    assert b"Truncated, retrying in TCP mode" in done.stdout
    assert b"ANSWER: 120" in done.stdout
    cut = run(program("dig"), f"@{LOOPBACK}", "-p", str(ports.plain), "+ignore", "+bufsize=800", f"many.{NAME}").stdout
    size = int(cut.rpartition(b"MSG SIZE  rcvd:")[2])
    assert b" tc" in cut
    assert 700 < size <= 800
    plain = run(program("dig"), f"@{LOOPBACK}", "-p", str(ports.plain), "+ignore", "+noedns", f"many.{NAME}").stdout
    assert int(plain.rpartition(b"MSG SIZE  rcvd:")[2]) <= 512


def test_letters_come_back_as_they_were(ports: Ports) -> None:
    for _ in range(2):
        done = run(program("dig"), f"@{LOOPBACK}", "-p", str(ports.plain), f"oNe.{NAME}")
        assert f";oNe.{NAME}." in done.stdout.decode()


def test_stubby(lasting: Processes, ports: Ports, certificate: Certificate) -> None:
    port = free_port()
    path = lasting.folder / "stubby.yml"
    path.write_text(
        f"""resolution_type: GETDNS_RESOLUTION_STUB
dns_transport_list:
  - GETDNS_TRANSPORT_TLS
tls_authentication: GETDNS_AUTHENTICATION_REQUIRED
tls_ca_file: "{certificate.authority}"
edns_client_subnet_private: 1
listen_addresses:
  - {LOOPBACK}@{port}
upstream_recursive_servers:
  - address_data: {LOOPBACK}
    tls_port: {ports.tls}
    tls_auth_name: "{NAME}"
"""
    )
    lasting.start(program("stubby"), "-C", str(path), udp=[port])
    assert kdig(port, "+short", f"one.{NAME}").split() == [ADDRESS]
    assert sorted(kdig(port, "+tcp", "+short", f"many.{NAME}").split()) == sorted(MANY)


def test_curl_finds_its_way_by_https(ports: Ports, certificate: Certificate) -> None:
    with http_origin() as site:
        for version in ("--http2", "--http1.1"):
            doh = f"https://localhost:{ports.https}/dns-query"
            trust = ("--cacert", str(certificate.authority))
            assert curl(version, "-4", *trust, "--doh-url", doh, f"http://here.{NAME}:{site.port}/") == HELLO


@pytest.mark.parametrize("version", ["--http1.1", "--http2", "--http2-prior-knowledge"])
def test_https_by_hand(version: str, ports: Ports, certificate: Certificate) -> None:
    query = make_query(f"one.{NAME}", types.A)
    kind = "application/dns-message"
    places = [f"http://{LOOPBACK}:{ports.http}"]
    if version != "--http2-prior-knowledge":
        places.append(f"https://localhost:{ports.https}")
    for place in places:
        head = ("-H", f"Content-Type: {kind}", "--cacert", str(certificate.authority), version)
        said = run("curl", "-sS", "-i", *head, "--data-binary", "@-", f"{place}/dns-query", data=query).stdout
        fields, _, body = said.partition(b"\r\n\r\n")
        if version == "--http2" and place.startswith("http:"):  # it asks for an upgrade, which is nobody's any more
            assert b"HTTP/1.1 200" in fields
        assert [str(ip) for ip in addresses_of(parse(body))] == [ADDRESS]
        assert f"content-type: {kind}".encode() in fields.lower()
        age = fields.lower().partition(b"cache-control: max-age=")[2].split()[0]
        assert 0 < int(age) <= 300
        for path, status in (("/", "404"), ("/dns-query", "400"), ("/dns-query?dns=%21", "400")):
            told = run("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", *head[2:], f"{place}{path}").stdout
            assert told.decode() == status


def test_sing_box_as_a_client_in_each_form(lasting: Processes, ports: Ports, certificate: Certificate) -> None:
    trust = {"enabled": True, "server_name": NAME, "certificate_path": str(certificate.authority)}
    servers: dict[str, dict[str, Any]] = {
        "udp": {"server_port": ports.plain},
        "tcp": {"server_port": ports.plain},
        "tls": {"server_port": ports.tls, "tls": trust},
        "https": {"server_port": ports.https, "tls": trust},
    }
    doors = dict(zip(servers, free_ports(len(servers)), strict=True))
    config = {
        "log": {"level": "debug"},
        "dns": {
            "servers": [{"type": kind, "tag": kind, "server": LOOPBACK, **more} for kind, more in servers.items()],
            "rules": [{"inbound": kind, "server": kind} for kind in servers],
            "disable_cache": True,
        },
        "inbounds": [
            {"type": "direct", "tag": kind, "listen": LOOPBACK, "listen_port": port, "override_port": 53}
            for kind, port in doors.items()
        ],
        "outbounds": [{"type": "direct"}],
        "route": {"rules": [{"action": "hijack-dns"}], "default_domain_resolver": "udp"},
    }
    path = lasting.folder / "sing-box-dns.json"
    path.write_text(json.dumps(config))
    lasting.start(program("sing-box"), "run", "-c", str(path), tcp=doors.values(), udp=doors.values())
    for port in doors.values():
        assert kdig(port, "+short", f"one.{NAME}").split() == [ADDRESS]
        assert sorted(kdig(port, "+tcp", "+short", f"many.{NAME}").split()) == sorted(MANY)
        assert "NXDOMAIN" in kdig(port, f"nothing.{NAME}")


# -- sessions of other inbounds ---------------------------------------------------------------------------------------


def test_datagrams_through_socks_are_answered(ports: Ports) -> None:
    with Association(ports.socks) as association:
        for number in range(3):
            query = bytes((0, number)) + make_query(f"one.{NAME}", types.A, edns=Edns())[2:]
            answer = parse(association.ask(SERVER, query))
            assert (answer.id, [str(ip) for ip in addresses_of(answer)]) == (number, [ADDRESS])
        cut = parse(association.ask(("dns.example", 53), make_query(f"many.{NAME}", types.A)))
        assert cut.truncated
        association.silent(SERVER, b"garbage")


def test_streams_through_socks_are_answered(ports: Ports) -> None:
    queries = [bytes((1, number)) + make_query(f"n{number}.{NAME}", types.A)[2:] for number in range(100)]
    with dial(ports.socks, SERVER) as stream, stream.makefile("rwb") as file:
        file.write(b"".join(len(query).to_bytes(2, "big") + query for query in queries))
        file.flush()
        answers = [parse(file.read(int.from_bytes(file.read(2), "big"))) for _ in queries]
        stream.shutdown(socket.SHUT_WR)
        assert file.read() == b""
    said = {answer.id & 0xFF: [str(ip) for ip in addresses_of(answer)] for answer in answers}
    assert said == {number: [f"203.0.113.{number}"] for number in range(100)}


def test_rules_about_names_see_whose_session_it_is(lasting: Processes, unbound: int) -> None:
    port, plain = free_ports(2)
    users = [{"username": name, "password": "pw1"} for name in ("ada", "bob")]
    lasting.gproxy(
        {
            "runtime": {"stop_grace": "10ms"},
            "dns": {
                "servers": [{"type": "udp", "tag": "up", "server": LOOPBACK, "server_port": unbound}],
                "rules": [
                    {"auth_user": "ada", "action": "predefined", "answer": f"one.{NAME}. IN A 203.0.113.77"},
                    {"inbound": "plain", "source_ip_cidr": "127.0.0.2/32", "action": "reject"},
                ],
            },
            "inbounds": [
                {"type": "socks", "tag": "socks", "listen": LOOPBACK, "listen_port": port, "users": users},
                {"type": "dns", "tag": "plain", "listen": LOOPBACK, "listen_port": plain},
            ],
            "route": {"rules": [{"action": "sniff"}, {"protocol": "dns", "action": "hijack-dns"}]},
        },
        udp=[plain],
    )
    query = make_query(f"one.{NAME}", types.A)
    odd = (SERVER[0], 5353)  # what is said is what counts
    for name, address in (("ada", "203.0.113.77"), ("bob", ADDRESS), ("ada", "203.0.113.77")):
        with Association(port, (name, "pw1")) as association:
            assert [str(ip) for ip in addresses_of(parse(association.ask(odd, query)))] == [address]
        with dial(port, odd, (name, "pw1")) as stream, stream.makefile("rwb") as file:
            file.write(len(query).to_bytes(2, "big") + query)
            file.flush()
            answer = parse(file.read(int.from_bytes(file.read(2), "big")))
        assert [str(ip) for ip in addresses_of(answer)] == [address]
    for _ in range(2):
        assert kdig(plain, "+short", f"one.{NAME}").split() == [ADDRESS]
        assert "REFUSED" in kdig(plain, "-b", "127.0.0.2", f"one.{NAME}")


# -- those who should not ask, and what is no question ----------------------------------------------------------------


def test_who_is_not_allowed_is_refused(ports: Ports) -> None:
    for words in ([], ["+tcp"]):
        assert "REFUSED" in kdig(ports.closed, *words, f"one.{NAME}")


@pytest.fixture
def client() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(30)
        yield client


def test_garbage_harms_nobody(ports: Ports, client: socket.socket) -> None:
    client.connect((LOOPBACK, ports.plain))
    query = b"\7\7" + make_query(f"one.{NAME}", types.A)[2:]
    answer_like = query[:2] + b"\x81\x80" + query[4:]
    for wrong in (b"", b"x", query[:11], answer_like, b"\xff" * 4000, bytes(60000), query[:20], query + b"\0"):
        client.send(wrong)
    client.send(query)
    heard = client.recv(65535)
    while parse(heard).rcode:  # those that are broken are told so
        assert len(heard) <= 512
        heard = client.recv(65535)
    assert [str(ip) for ip in addresses_of(parse(heard))] == [ADDRESS]
    with socket.create_connection((LOOPBACK, ports.plain), 30) as stream:
        stream.sendall(b"\0\1x\0\0" + len(query).to_bytes(2, "big") + query)
        assert stream.recv(2) == len(heard).to_bytes(2, "big")
    with socket.create_connection((LOOPBACK, ports.http), 30) as stream:
        stream.sendall(b"\0\x1d" + query)
        assert b"400" in stream.recv(100)


def test_many_at_once(ports: Ports) -> None:
    def ask(number: int) -> list[str]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(30)
            client.connect((LOOPBACK, ports.plain))
            client.send(bytes((2, number)) + make_query(f"n{number}.{NAME}", types.A)[2:])
            return [str(ip) for ip in addresses_of(parse(client.recv(4096)))]

    with ThreadPoolExecutor(20) as pool:
        for _ in range(2):
            said = list(pool.map(ask, range(200)))
            assert said == [[f"203.0.113.{number}"] for number in range(200)]


def test_it_is_quiet(lasting: Processes, ports: Ports) -> None:
    """After all that was asked: what it logs by itself is not a line for each question."""
    kdig(ports.plain, "+short", *[f"one.{NAME}", f"nothing.{NAME}"] * 100)
    log = next(each.log for each in lasting._all if "gproxy" in each.argv)
    assert len(log.splitlines()) < 100
