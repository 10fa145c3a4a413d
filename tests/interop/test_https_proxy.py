"""Proxies within TLS: gproxy's inbounds with clients of others, and its HTTP client with servers of others."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp

from tests.interop import peers
from tests.interop.lab import credentials, fetch, program, start_gproxy
from tests.interop.peers import USER
from tests.interop.test_http_outbound import check_site
from tests.support.origin import HELLO, Server, digest
from tests.support.ports import LOOPBACK, free_port
from tests.support.procs import Process, Processes, ProcessFailed
from tests.support.tls import NAME, Certificate

LOGIN = f"{USER[0]}:{USER[1]}@"
USERS = [{"username": USER[0], "password": USER[1]}]


def start(processes: Processes, certificate: Certificate, kind: str, listen: str = LOOPBACK, **more: Any) -> Process:
    """gproxy with one inbound within TLS that goes out directly."""
    tls = {"enabled": True, "certificate_path": str(certificate.chain), "key_path": str(certificate.key)}
    inbound = {"type": kind, "listen": listen, "users": USERS, **more, "tls": tls | more.get("tls", {})}
    return start_gproxy(processes, {"inbounds": [inbound]})


@pytest.mark.parametrize("kind", ["http", "mixed"])
def test_curl(kind: str, processes: Processes, site: Server, tls_site: Server, certificate: Certificate) -> None:
    port = free_port()
    start(processes, certificate, kind, listen_port=port)
    trust = ("--proxy-cacert", str(certificate.authority), "--cacert", str(certificate.authority))
    proxy = f"https://{LOGIN}localhost:{port}"
    body = fetch(proxy, f"https://localhost:{tls_site.port}/bytes/3000001", *trust)  # TLS in TLS
    assert hashlib.sha256(body).hexdigest() == digest(3_000_001)
    body = fetch(proxy, f"http://{site.authority}/bytes/3000001", *trust)
    assert hashlib.sha256(body).hexdigest() == digest(3_000_001)
    assert fetch(proxy, f"http://{site.authority}/", "-p", *trust) == HELLO
    refused = fetch(f"https://localhost:{port}", f"http://{site.authority}/", "-w", "%{http_code}", *trust)
    assert refused.endswith(b"407")


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_curl_with_one_version_only(version: str, processes: Processes, site: Server, certificate: Certificate) -> None:
    port = free_port()
    start(processes, certificate, "http", listen_port=port, tls={"min_version": version, "max_version": version})
    trust = ("--proxy-cacert", str(certificate.authority))
    assert fetch(f"https://{LOGIN}localhost:{port}", f"http://{site.authority}/", *trust) == HELLO


def test_curl_that_does_not_believe_us(processes: Processes, site: Server, certificate: Certificate) -> None:
    port, elsewhere = free_port(), "127.0.0.2"
    gproxy = start(processes, certificate, "http", elsewhere, listen_port=port)
    url, trust = f"http://{site.authority}/", ("--proxy-cacert", str(certificate.authority))
    with pytest.raises(ProcessFailed, match="60"):
        fetch(f"https://{LOGIN}{elsewhere}:{port}", url, *trust)
    with pytest.raises(ProcessFailed, match="60"):
        fetch(f"https://{LOGIN}{elsewhere}:{port}", url)
    assert fetch(f"https://{LOGIN}{elsewhere}:{port}", url, "--proxy-insecure") == HELLO
    gproxy.wait_log("protocol-tls")


def test_curl_without_tls(processes: Processes, site: Server, certificate: Certificate) -> None:
    port = free_port()
    gproxy = start(processes, certificate, "http", listen_port=port)
    with pytest.raises(ProcessFailed):
        fetch(f"http://{LOGIN}{LOOPBACK}:{port}", f"http://{site.authority}/")
    gproxy.wait_log("not TLS")


def test_curl_that_has_to_show_a_certificate(processes: Processes, site: Server, certificate: Certificate) -> None:
    port = free_port()
    asks = {"client_authentication": "require-and-verify", "client_certificate_path": str(certificate.authority)}
    start(processes, certificate, "http", listen_port=port, tls=asks)
    proxy, url = f"https://{LOGIN}localhost:{port}", f"http://{site.authority}/"
    trust = ("--proxy-cacert", str(certificate.authority))
    shown = ("--proxy-cert", str(certificate.chain), "--proxy-key", str(certificate.key))
    assert fetch(proxy, url, *trust, *shown) == HELLO
    with pytest.raises(ProcessFailed):
        fetch(proxy, url, *trust)


@pytest.mark.parametrize("kind", ["socks", "mixed"])
@pytest.mark.parametrize("scheme", ["socks4a", "socks5h"])
def test_socks_within_tls(kind: str, scheme: str, processes: Processes, site: Server, certificate: Certificate) -> None:
    """Hardly a client of SOCKS speaks TLS itself."""
    port = free_port()
    start(processes, certificate, kind, listen_port=port, users=USERS if scheme == "socks5h" else [])
    way = peers.sealed(processes, certificate, port)
    login = LOGIN if scheme == "socks5h" else ""
    body = fetch(f"{scheme}://{login}{LOOPBACK}:{way}", f"http://localhost:{site.port}/bytes/3000001")
    assert hashlib.sha256(body).hexdigest() == digest(3_000_001)


# -- our client --------------------------------------------------------------------------------------------------------


def to(certificate: Certificate, **more: Any) -> dict[str, Any]:
    """An outbound's `tls`."""
    return {"enabled": True, "server_name": NAME, "certificate_path": str(certificate.authority), **more}


def client(processes: Processes, server: int, tls: dict[str, Any], **more: Any) -> tuple[int, Process]:
    """gproxy that goes out through an HTTP proxy within TLS; the port of its mixed inbound."""
    port = free_port()
    outbound = {"type": "http", "server": LOOPBACK, "server_port": server, "tls": tls, **more}
    inbound = {"type": "mixed", "listen": LOOPBACK, "listen_port": port}
    return port, start_gproxy(processes, {"inbounds": [inbound], "outbounds": [outbound]})


PACKETS = {"fragment": True, "fragment_fallback_delay": "5ms"}
RECORDS = {"record_fragment": True}


@pytest.mark.parametrize("user", [None, USER])
@pytest.mark.parametrize("pieces", [{}, PACKETS, RECORDS])
def test_sing_box(
    pieces: dict[str, Any],
    user: tuple[str, str] | None,
    processes: Processes,
    site: Server,
    certificate: Certificate,
) -> None:
    server = free_port()
    users = [{"username": user[0], "password": user[1]}] if user else []
    shown = {"enabled": True, "certificate_path": str(certificate.chain), "key_path": str(certificate.key)}
    peers.sing_box(
        processes, [{"type": "http", "listen": LOOPBACK, "listen_port": server, "users": users, "tls": shown}]
    )
    port, _ = client(processes, server, to(certificate, **pieces), **credentials(user))
    check_site(port, site)


@pytest.mark.parametrize("pieces", [{}, PACKETS | RECORDS])
def test_squid(pieces: dict[str, Any], processes: Processes, site: Server, certificate: Certificate) -> None:
    server = peers.squid(processes, passwords=True, certificate=certificate)
    port, _ = client(processes, server, to(certificate, **pieces), **credentials(USER))
    check_site(port, site)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_socat_in_front_of_a_proxy(version: str, processes: Processes, site: Server, certificate: Certificate) -> None:
    server = peers.unsealed(processes, certificate, peers.tinyproxy(processes, connect_ports=[site.port]))
    port, _ = client(processes, server, to(certificate, max_version=version))
    check_site(port, site)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"server_name": "other.test"}, "dial-tls-name"),
        ({"certificate_path": None}, "dial-tls-untrusted"),
        ({"certificate_path": None, "certificate_public_key_sha256": "A" * 43 + "="}, "dial-tls-pin"),
    ],
)
def test_a_proxy_that_is_not_believed(
    changes: dict[str, Any], word: str, processes: Processes, site: Server, certificate: Certificate
) -> None:
    server = peers.unsealed(processes, certificate, peers.tinyproxy(processes, connect_ports=[site.port]))
    tls = {key: value for key, value in (to(certificate) | changes).items() if value is not None}
    port, gproxy = client(processes, server, tls)
    with pytest.raises(ProcessFailed):
        fetch(f"socks5h://{LOOPBACK}:{port}", f"http://{site.authority}/")
    gproxy.wait_log(word)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("revoked", [False, True])
def test_a_server_that_brings_its_authoritys_word(
    version: str, revoked: bool, processes: Processes, site: Server, certificate: Certificate
) -> None:
    server, response = free_port(), processes.open_folder() / "response.der"
    response.write_bytes(_says(certificate, revoked=revoked))
    shown = ("-cert", str(certificate.chain), "-key", str(certificate.key), "-status_file", str(response))
    processes.start(program("openssl"), "s_server", "-accept", f"{LOOPBACK}:{server}", "-rev", *shown, tcp=[server])
    port, gproxy = client(processes, server, to(certificate, max_version=version))
    with pytest.raises(ProcessFailed):
        fetch(f"socks5h://{LOOPBACK}:{port}", f"http://{site.authority}/")
    gproxy.wait_log("dial-tls-revoked" if revoked else "dial-declined")  # it is no proxy, after all


def _says(certificate: Certificate, *, revoked: bool) -> bytes:
    """An OCSP response of the authority's."""
    leaf = x509.load_pem_x509_certificate(certificate.chain.read_bytes())
    issuer = x509.load_pem_x509_certificate(certificate.authority.read_bytes())
    key = serialization.load_pem_private_key(certificate.authority.with_suffix(".key").read_bytes(), None)
    status = ocsp.OCSPCertStatus.REVOKED if revoked else ocsp.OCSPCertStatus.GOOD
    at = leaf.not_valid_before_utc
    times = (at, leaf.not_valid_after_utc, at if revoked else None, None)
    builder = ocsp.OCSPResponseBuilder().responder_id(ocsp.OCSPResponderEncoding.HASH, issuer)
    response = builder.add_response(leaf, issuer, hashes.SHA1(), status, *times).sign(key, hashes.SHA256())
    return response.public_bytes(serialization.Encoding.DER)


def test_whom_the_configuration_believes(processes: Processes, site: Server, certificate: Certificate) -> None:
    """In a directory that is watched."""
    folder = processes.open_folder()
    server = peers.unsealed(processes, certificate, peers.tinyproxy(processes, connect_ports=[site.port]))
    port = free_port()
    outbound = {"type": "http", "server": LOOPBACK, "server_port": server, "tls": {"enabled": True}}
    inbound = {"type": "mixed", "listen": LOOPBACK, "listen_port": port}
    believed = {"store": "none", "certificate_directory_path": str(folder)}
    gproxy = start_gproxy(processes, {"inbounds": [inbound], "outbounds": [outbound], "certificate": believed})
    proxy, url = f"socks5h://{LOOPBACK}:{port}", f"http://{site.authority}/"
    with pytest.raises(ProcessFailed):
        fetch(proxy, url)
    gproxy.wait_log("dial-tls-untrusted")
    (folder / "ca.pem").write_bytes(certificate.authority.read_bytes())
    again = ("--retry", "9", "--retry-all-errors", "--retry-delay", "1")
    assert fetch(proxy, url, *again) == HELLO
