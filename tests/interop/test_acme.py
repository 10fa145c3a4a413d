"""Certificates from pebble, an authority that is strict on purpose: it refuses nonces, and checks what it is shown."""

from __future__ import annotations

import json
import signal
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.supervised import Supervised, children, kill
from tests.interop.lab import program
from tests.support.ports import LOOPBACK, free_port, free_ports
from tests.support.procs import Process, Processes, curl
from tests.support.tls import Certificate
from tests.support.wait import wait_until

KEY_ID, MAC_KEY = "kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
DOMAIN = "site.peer.test"
PATIENCE = 25.0


@dataclass
class Pebble:
    """The authority, and the name server that it asks."""

    processes: Processes
    certificate: Certificate
    process: Process
    directory: str
    http: int  # where it looks for proofs
    tls: int
    dns: int
    records: int  # where the name server is told its records
    management: int

    @classmethod
    def start(cls, processes: Processes, certificate: Certificate, **options: Any) -> Pebble:
        dns, records, listen, management, http, tls = free_ports(6)
        processes.start(
            program("pebble-challtestsrv"), "-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", "",
            "-dns01", f"{LOOPBACK}:{dns}", "-management", f"{LOOPBACK}:{records}", tcp=[dns, records], udp=[dns],
        )  # fmt: skip
        config = {
            "listenAddress": f"{LOOPBACK}:{listen}", "managementListenAddress": f"{LOOPBACK}:{management}",
            "certificate": str(certificate.chain), "privateKey": str(certificate.key), "httpPort": http, "tlsPort": tls,
            "externalAccountBindingRequired": False, **options,
        }  # fmt: skip
        path = processes.folder / f"pebble-{listen}.json"
        path.write_text(json.dumps({"pebble": config}))
        process = processes.start(
            program("pebble"), "-config", str(path), "-dnsserver", f"{LOOPBACK}:{dns}", "-strict",
            tcp=[listen, management], env={"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "20"},
        )  # fmt: skip
        return cls(
            processes, certificate, process, f"https://localhost:{listen}/dir", http, tls, dns, records, management
        )

    def provider(self, **options: Any) -> dict[str, Any]:
        """A provider's table, which believes nothing but the tests' own authority."""
        return {
            "type": "acme", "tag": "c", "domain": [DOMAIN], "provider": self.directory,
            "data_directory": str(self.processes.folder / "acme"), **options,
        }  # fmt: skip

    def config(self, port: int, **options: Any) -> dict[str, Any]:
        """An HTTPS proxy that shows the certificate."""
        inbound = {
            "type": "http", "listen": LOOPBACK, "listen_port": port,
            "tls": {"enabled": True, "certificate_provider": "c"},
        }  # fmt: skip
        return {"inbounds": [inbound], "certificate_providers": [self.provider(**options)], **self.believed()}

    def believed(self) -> dict[str, Any]:
        return {"certificate": {"store": "none", "certificate_path": str(self.certificate.authority)}}

    def issued(self) -> int:
        """How many certificates."""
        return self.process.log.count("Issued certificate serial")

    def root(self) -> ssl.SSLContext:
        """Who believes this authority."""
        data = curl("--cacert", str(self.certificate.authority), f"https://localhost:{self.management}/roots/0")
        return ssl.create_default_context(cadata=data.decode())


def shown(port: int, context: ssl.SSLContext, name: str = DOMAIN) -> int:
    """The serial number of the certificate at a port, verified as a browser does."""
    with socket.create_connection((LOOPBACK, port), 10) as sock:
        with context.wrap_socket(sock, server_hostname=name) as wrapped:
            certificate: Mapping[str, Any] = wrapped.getpeercert() or {}
            return int(certificate["serialNumber"], 16)


def wait_issued(process: Process, count: int = 1) -> None:
    wait_until(lambda: process.log.count("good for") >= count, lambda: process.log[-3000:], PATIENCE)


@pytest.fixture
def pebble(processes: Processes, certificate: Certificate) -> Pebble:
    return Pebble.start(processes, certificate)


def test_by_handshakes_in_all_workers_and_all_generations(processes: Processes, pebble: Pebble) -> None:
    config = pebble.config(pebble.tls, disable_http_challenge=True, alternative_tls_port=pebble.tls)
    inbounds = config.pop("inbounds")
    gproxy = Supervised.start(processes, *inbounds, workers=2, **config)
    wait_issued(gproxy.process)
    root = pebble.root()
    wait_until(lambda: _shown_by_all(pebble.tls, root), "a worker does not show it")
    serial = shown(pebble.tls, root)
    kill(gproxy.workers()["0"])
    gproxy.next_generation()
    assert {shown(pebble.tls, root) for _ in range(8)} == {serial}, "of a new generation, from the first client on"
    gproxy.wait_alone()
    workers = set(gproxy.workers().values())
    template = next(pid for pid in children(gproxy.process.pid) if workers <= set(children(pid)))
    [control] = set(children(template)) - workers
    kill(control)
    gproxy.process.wait_log(f"control ({control}) of generation 2 was killed by SIGKILL")
    gproxy.next_generation(signal.SIGUSR2)
    assert {shown(pebble.tls, root) for _ in range(8)} == {serial}
    assert pebble.issued() == 1
    assert not [each for each in gproxy.errors() if "control" not in each and "worker" not in each]
    gproxy.stop()


def _shown_by_all(port: int, root: ssl.SSLContext) -> bool:
    try:
        return len({shown(port, root) for _ in range(8)}) == 1
    except (ssl.SSLError, ConnectionError):
        return False


def test_over_http_and_renewed_while_clients_stay(processes: Processes, certificate: Certificate) -> None:
    """A certificate of nine seconds is renewed after six."""
    pebble = Pebble.start(processes, certificate, certificateValidityPeriod=9)
    port = free_port()
    gproxy = processes.gproxy(pebble.config(port, alternative_http_port=pebble.http, disable_tls_alpn_challenge=True))
    wait_issued(gproxy)
    root = pebble.root()
    first = shown(port, root)
    with socket.create_connection((LOOPBACK, port), 10) as sock:
        with root.wrap_socket(sock, server_hostname=DOMAIN) as client:
            wait_issued(gproxy, 2)
            assert shown(port, root) != first
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(64).startswith(b"HTTP/1.1 4"), "it goes on"
    assert gproxy.stop() == 0


def test_by_dns_for_a_wildcard(processes: Processes, pebble: Pebble) -> None:
    hook = processes.folder / "hook"
    hook.write_text(f"""#!/bin/sh
case $1 in present) what=set-txt ;; cleanup) what=clear-txt ;; esac
echo "$@" >>{processes.folder}/hooks
exec {program("curl")} -sS -d "{{\\"host\\": \\"$2.\\", \\"value\\": \\"$3\\"}}" http://{LOOPBACK}:{pebble.records}/$what
""")
    hook.chmod(0o755)
    port = free_port()
    challenge = {"provider": "exec", "command": [str(hook)], "resolvers": [f"{LOOPBACK}:{pebble.dns}"]}
    config = pebble.config(port, dns01_challenge=challenge, domain=["*.wild.peer.test"], key_type="rsa2048")
    gproxy = processes.gproxy(config)
    wait_issued(gproxy)
    assert shown(port, pebble.root(), "any.wild.peer.test")
    said = [line.split()[:2] for line in (processes.folder / "hooks").read_text().splitlines()]
    assert said == [["present", "_acme-challenge.wild.peer.test"], ["cleanup", "_acme-challenge.wild.peer.test"]]
    assert gproxy.stop() == 0


@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])
def test_an_external_account(processes: Processes, certificate: Certificate, *, right: bool) -> None:
    options = {"externalAccountBindingRequired": True, "externalAccountMACKeys": {KEY_ID: MAC_KEY}}
    pebble = Pebble.start(processes, certificate, **options)
    port = free_port()
    external = {"key_id": KEY_ID, "mac_key": MAC_KEY if right else MAC_KEY[::-1]}
    gproxy = processes.gproxy(pebble.config(port, alternative_http_port=pebble.http, external_account=external))
    if right:
        wait_issued(gproxy)
        assert shown(port, pebble.root())
    else:
        gproxy.wait_log("the next try is in")
        assert pebble.issued() == 0
    assert MAC_KEY not in gproxy.log
    assert gproxy.stop() == 0


def test_a_failure_is_tried_again_later_and_stops_nobody(processes: Processes, pebble: Pebble) -> None:
    """The authority looks where nobody answers."""
    port, other, elsewhere = free_ports(3)
    config = pebble.config(port, alternative_http_port=elsewhere, disable_tls_alpn_challenge=True)
    config["inbounds"].append({"type": "mixed", "listen": LOOPBACK, "listen_port": other})
    gproxy = processes.gproxy(config)
    gproxy.wait_log("the next try is in")
    assert f"no certificate for {DOMAIN}: http-01 for {DOMAIN} is invalid" in gproxy.log
    context = ssl.create_default_context()
    with pytest.raises((ssl.SSLError, ConnectionError)):
        shown(port, context)
    gproxy.wait_log("there is no certificate yet")
    with socket.create_connection((LOOPBACK, other), 10) as sock:
        sock.sendall(b"\x05\x01\x00")
        assert sock.recv(2) == b"\x05\x00"
    [failures] = Path(processes.folder, "acme").rglob("site*.json")
    assert json.loads(failures.read_text())["failures"] == 1
    assert gproxy.stop() == 0
    again = processes.gproxy(config)
    again.wait_log("is ready")
    assert again.stop() == 0
    assert "ordering" not in again.log, "a restart is no reason to ask at once"


def test_the_older_table(processes: Processes, pebble: Pebble) -> None:
    table = {key: value for key, value in pebble.provider().items() if key not in ("type", "tag")}
    table |= {"alternative_http_port": pebble.http, "default_server_name": DOMAIN, "email": "admin@peer.test"}
    port = free_port()
    inbound = {"type": "http", "listen": LOOPBACK, "listen_port": port, "tls": {"enabled": True, "acme": table}}
    gproxy = processes.gproxy({"inbounds": [inbound], **pebble.believed()})
    wait_issued(gproxy)
    assert shown(port, pebble.root())
    assert "deprecated" in gproxy.log
    assert gproxy.stop() == 0
