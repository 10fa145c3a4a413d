"""Other people's name servers: each function starts one on free ports. They know the names below `peer.test`.

peer.test  127.0.0.1 and ::1 · two.peer.test  two addresses · text.peer.test  TXT · big.peer.test  an answer that no
datagram holds · n0 to n199.peer.test  one each; dnsdist besides: servfail, cut, drop, slow and fake.peer.test
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.interop.lab import program
from tests.support.ports import LOOPBACK, free_port, free_ports
from tests.support.procs import Process, Processes
from tests.support.tls import NAME, Certificate

SLOW = 0.4
"""Seconds that dnsdist takes for the answer about slow.peer.test."""

MANY = [f"198.51.100.{number}" for number in range(1, 91)]


@dataclass(frozen=True)
class Ports:
    """Where one listens; 0: it doesn't do that."""

    plain: int
    tls: int = 0
    https: int = 0


def unbound(processes: Processes, certificate: Certificate, ports: Ports) -> Process:
    """Plain, TLS and HTTPS (HTTP/2)."""
    home = processes.open_folder()
    data = [f"{NAME}. 60 A {LOOPBACK}", f"{NAME}. 60 AAAA ::1", f"text.{NAME}. 60 TXT hello"]
    data += [f"two.{NAME}. 60 A 127.0.0.{number}" for number in (2, 3)]
    data += [f"big.{NAME}. 60 A {address}" for address in MANY]
    data += [f"n{number}.{NAME}. 60 A 203.0.113.{number}" for number in range(200)]
    lines = [
        *(f"interface: {LOOPBACK}@{port}" for port in (ports.plain, ports.tls, ports.https)),
        f"tls-port: {ports.tls}", f"https-port: {ports.https}", f'tls-service-key: "{certificate.key}"',
        f'tls-service-pem: "{certificate.chain}"', 'username: ""', 'chroot: ""', f'directory: "{home}"',
        "use-syslog: no", 'logfile: ""', "do-daemonize: no", "num-threads: 1", "do-ip6: no", "incoming-num-tcp: 50",
        "module-config: iterator", f'pidfile: "{home}/pid"', f'local-zone: "{NAME}." static',
        f'local-data: "{NAME}. 60 SOA ns.{NAME}. root.{NAME}. 1 2 3 4 60"',
        *(f'local-data: "{each}"' for each in data),
    ]  # fmt: skip
    text = "server:\n" + "".join(f"  {line}\n" for line in lines) + "remote-control:\n  control-enable: no\n"
    path = _write(home, "unbound.conf", text)
    return processes.start(
        program("unbound"), "-d", "-p", "-c", path, tcp=[ports.plain, ports.tls, ports.https], udp=[ports.plain]
    )


def dnsdist(processes: Processes, certificate: Certificate, behind: int) -> Ports:
    """In front of a server at the port `behind`, with names of its own that it answers oddly."""
    ports = Ports(*free_ports(3))
    pair = f'"{certificate.chain}", "{certificate.key}"'
    text = f"""
setLocal("{LOOPBACK}:{ports.plain}")
addTLSLocal("{LOOPBACK}:{ports.tls}", {pair})
addDOHLocal("{LOOPBACK}:{ports.https}", {pair}, "/dns-query")
newServer({{address="{LOOPBACK}:{behind}"}}):setUp()
setACL({{"127.0.0.0/8"}})
setSecurityPollSuffix("")
addAction("fake.{NAME}.", SpoofAction("127.0.0.9"))
addAction("drop.{NAME}.", DropAction())
addAction(AndRule{{QNameRule("slow.{NAME}."), TCPRule(false)}}, DelayAction({int(SLOW * 1000)}))
addAction("slow.{NAME}.", SpoofAction("127.0.0.8"))
addAction(AndRule{{QNameRule("cut.{NAME}."), TCPRule(false)}}, TCAction())
addAction("cut.{NAME}.", SpoofAction("127.0.0.7"))
addAction("servfail.{NAME}.", RCodeAction(DNSRCode.SERVFAIL))
"""
    path = _write(processes.open_folder(), "dnsdist.conf", text)
    command = [program("dnsdist"), "--supervised", "--disable-syslog", "-C", path]
    processes.start(*command, tcp=[ports.plain, ports.tls, ports.https], udp=[ports.plain])
    return ports


_ZONE = f"""$ORIGIN {NAME}.
$TTL 60
@ IN SOA ns root 1 3600 600 86400 60
@ IN NS ns
@ IN A {LOOPBACK}
@ IN AAAA ::1
ns IN A {LOOPBACK}
two IN A 127.0.0.2
two IN A 127.0.0.3
text IN TXT "hello"
$GENERATE 0-199 n$ A 203.0.113.$
$GENERATE 1-90 big A 198.51.100.$
"""


def named(processes: Processes, certificate: Certificate) -> Ports:
    """BIND: plain, TLS and HTTPS."""
    ports = Ports(*free_ports(3))
    home = processes.open_folder()
    zone = _write(home, "zone", _ZONE)
    text = f"""
tls local {{ cert-file "{certificate.chain}"; key-file "{certificate.key}"; }};
http local {{ endpoints {{ "/dns-query"; }}; }};
options {{
  directory "{home}"; pid-file "{home}/pid"; session-keyfile "{home}/session.key"; lock-file none;
  listen-on-v6 {{ none; }};
  listen-on port {ports.plain} {{ {LOOPBACK}; }};
  listen-on port {ports.tls} tls local {{ {LOOPBACK}; }};
  listen-on port {ports.https} tls local http local {{ {LOOPBACK}; }};
  recursion no; dnssec-validation no;
}};
controls {{ }};
zone "{NAME}" {{ type primary; file "{zone}"; }};
"""
    path = _write(home, "named.conf", text)
    processes.start(
        program("named"), "-g", "-n", "1", "-c", path, tcp=[ports.plain, ports.tls, ports.https], udp=[ports.plain]
    )
    return ports


def dnsmasq(processes: Processes) -> Ports:
    """Plain alone."""
    ports = Ports(free_port())
    home = processes.open_folder()
    hosts = "".join(f"203.0.113.{number} n{number}.{NAME}\n" for number in range(200))
    hosts += f"127.0.0.2 two.{NAME}\n127.0.0.3 two.{NAME}\n{LOOPBACK} {NAME}\n::1 {NAME}\n"
    hosts += "".join(f"{address} big.{NAME}\n" for address in MANY)
    text = f"""
port={ports.plain}
listen-address={LOOPBACK}
bind-interfaces
no-resolv
no-hosts
addn-hosts={_write(home, "hosts", hosts)}
txt-record=text.{NAME},hello
local=/{NAME}/
user=
pid-file=
"""
    path = _write(home, "dnsmasq.conf", text)
    processes.start(program("dnsmasq"), "-k", "-C", path, tcp=[ports.plain], udp=[ports.plain])
    return ports


def caddy(processes: Processes, certificate: Certificate, behind: int, *protocols: str) -> int:
    """A web server that speaks these protocols (`h1`, `h2`), in front of the HTTPS of port `behind`; its port."""
    port = free_port()
    home = processes.open_folder()
    text = f"""
{{
  admin off
  storage file_system {home}
  servers {{
    protocols {" ".join(protocols)}
  }}
  auto_https off
}}
https://:{port} {{
  bind {LOOPBACK}
  tls {certificate.chain} {certificate.key}
  reverse_proxy https://{LOOPBACK}:{behind} {{
    header_up Host {NAME}
    transport http {{
      tls_insecure_skip_verify
    }}
  }}
}}
"""
    path = _write(home, "Caddyfile", text)
    command = [program("caddy"), "run", "--adapter", "caddyfile", "--config", path]
    processes.start(*command, env={"HOME": str(home), "XDG_DATA_HOME": str(home)}, tcp=[port])
    return port


def _write(home: Path, name: str, text: str) -> str:
    path = home / name
    path.write_text(text, "utf-8")
    path.chmod(0o644)
    return str(path)
