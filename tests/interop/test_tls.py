"""An inbound's TLS as others see it: scanners, openssl's client, and curl."""

from __future__ import annotations

import re
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.interop.lab import program
from tests.support.origin import HELLO, Server
from tests.support.ports import LOOPBACK, free_port, free_ports
from tests.support.procs import Process, Processes, ProcessFailed, curl, run
from tests.support.tls import NAME, Certificate, make_certificate
from tests.support.wait import wait_until


def files(certificate: Certificate) -> dict[str, Any]:
    return {"certificate_path": str(certificate.chain), "key_path": str(certificate.key)}


def inbound(certificate: Certificate, port: int, tag: str = "in", **tls: Any) -> dict[str, Any]:
    return {
        "type": "http", "tag": tag, "listen": LOOPBACK, "listen_port": port,
        "tls": {"enabled": True, **files(certificate), **tls},
    }  # fmt: skip


def start(processes: Processes, *inbounds: dict[str, Any]) -> Process:
    """With two workers."""
    runtime = {
        "workers": 2,
        "control": str(processes.folder / f"{inbounds[0]['listen_port']}.sock"),
        "stop_grace": "10ms",
    }
    return processes.gproxy({"inbounds": list(inbounds), "runtime": runtime})


@pytest.fixture
def port(processes: Processes, certificate: Certificate) -> int:
    """Of an inbound of gproxy's, as it comes."""
    number = free_port()
    start(processes, inbound(certificate, number))
    return number


def s_client(port: int, *arguments: str, name: str = NAME, data: bytes = b"") -> str:
    """All that openssl's client says of a connection."""
    command = (program("openssl"), "s_client", "-connect", f"{LOOPBACK}:{port}", *arguments)
    done = run(*command, *(("-servername", name) if name else ("-noservername",)), data=data)
    return (done.stdout + done.stderr).decode("utf-8", "replace")


def shown(port: int, name: str = NAME, *arguments: str) -> x509.Certificate:
    text = s_client(port, *arguments, name=name)
    found = re.search("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", text, re.DOTALL)
    assert found, text
    return x509.load_pem_x509_certificate(found[0].encode())


def leaf(certificate: Certificate) -> x509.Certificate:
    return x509.load_pem_x509_certificate(certificate.chain.read_bytes())


def another(tmp_path: Path, name: str) -> Certificate:
    """A certificate of another authority."""
    folder = tmp_path / name
    folder.mkdir()
    return make_certificate(folder)


# -- scanners ----------------------------------------------------------------------------------------------------------


def test_what_sslscan_finds(port: int) -> None:
    done = run(program("sslscan"), "--no-colour", f"--sni-name={NAME}", f"{LOOPBACK}:{port}")
    text = done.stdout.decode()
    for version in ("SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1"):
        assert re.search(rf"{version} +disabled", text), text
    for version in ("TLSv1.2", "TLSv1.3"):
        assert re.search(rf"{version} +enabled", text), text
    assert "Session renegotiation not supported" in text
    suites = re.findall(r"(?:Preferred|Accepted) +TLSv1\.\d +(\d+) bits +(\S+)", text)
    assert len(suites) == 6
    assert all(int(bits) >= 128 and re.search("GCM|CHACHA20", name) for bits, name in suites), suites
    groups = re.findall(r"TLSv1\.\d +(\d+) bits +(?:sec|x|ffdhe)", text)
    assert groups
    assert all(int(bits) >= 128 for bits in groups), text


# -- openssl -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), ("-tls1_2", "-cipher", "AES128-SHA"),
     ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"), ("-groups", "X448"), ("-groups", "ffdhe2048")],
    ids=["1.1", "no forward secrecy", "CBC", "x448", "ffdhe"],
)  # fmt: skip
def test_what_is_refused(port: int, arguments: tuple[str, ...]) -> None:
    assert "no peer certificate available" in s_client(port, *arguments)


def test_there_is_no_early_data(processes: Processes, port: int, tmp_path: Path) -> None:
    session, early = str(tmp_path / "session"), tmp_path / "early"
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    early.write_bytes(request)
    text = s_client(port, "-sess_out", session, "-ign_eof", data=request)
    assert "Max Early Data: 0" in text
    text = s_client(port, "-sess_in", session, "-early_data", str(early))
    assert "Early data was not sent" in text or "Early data was rejected" in text


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_are_resumed_on_any_worker(port: int, certificate: Certificate, version: ssl.TLSVersion) -> None:
    context = ssl.create_default_context(cafile=str(certificate.authority))
    context.minimum_version = context.maximum_version = version
    session = None
    reused = []
    for _ in range(12):
        with _connect(context, port, session) as stream:
            stream.sendall(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")  # is answered: 400
            while stream.recv(4096):
                pass
            reused.append(stream.session_reused)
            session = stream.session
    assert reused == [False] + [True] * 11


@pytest.mark.timeout(120)
def test_a_thousand_handshakes(port: int, certificate: Certificate) -> None:
    context = ssl.create_default_context(cafile=str(certificate.authority))
    context.minimum_version = ssl.TLSVersion.TLSv1_3

    def one(_: int) -> bytes:
        with _connect(context, port) as stream:
            stream.sendall(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
            return stream.recv(12)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(one, range(1000))) == {b"HTTP/1.1 400"}


def _connect(context: ssl.SSLContext, port: int, session: ssl.SSLSession | None = None) -> ssl.SSLSocket:
    plain = socket.create_connection((LOOPBACK, port), timeout=20)
    return context.wrap_socket(plain, server_hostname=NAME, session=session)


# -- certificates ------------------------------------------------------------------------------------------------------


def test_names_choose_among_certificates_and_files_are_read_again(
    processes: Processes, certificate: Certificate, tmp_path: Path
) -> None:
    port, one, two = free_port(), another(tmp_path, "one"), another(tmp_path, "two")
    more = [files(one) | {"server_names": ["one.test"]}, files(two) | {"server_names": ["*.two.test"]}]
    start(processes, inbound(certificate, port, certificates=more))
    for name, expected in (("one.test", one), ("a.two.test", two), ("two.test", certificate), ("", certificate)):
        assert shown(port, name) == leaf(expected)
    renewed = another(tmp_path, "renewed")
    renewed.key.replace(one.key)
    renewed.chain.replace(one.chain)
    # Either worker looks for itself, when a client comes, once a second.
    wait_until(lambda: all(shown(port, "one.test") == leaf(one) for _ in range(4)), "both show the new one", 20)


def test_a_self_made_certificate(processes: Processes, certificate: Certificate) -> None:
    port = free_port()
    own = inbound(certificate, port)
    own["tls"] = {"enabled": True, "insecure": True, "server_name": "own.test"}
    gproxy = start(processes, own)
    assert shown(port, "own.test").subject.rfc4514_string() == "CN=own.test"
    assert shown(port, "own.test") == shown(port, "own.test")  # both workers have the same
    assert "tls.insecure" in gproxy.log


def test_a_certificate_that_is_soon_over_is_told_once(processes: Processes, certificate: Certificate) -> None:
    gproxy = start(processes, inbound(certificate, free_port()))
    gproxy.wait_log("ends in 2 days")
    assert gproxy.log.count("ends in 2 days") == 1


def test_a_staple(processes: Processes, certificate: Certificate, tmp_path: Path) -> None:
    """Made by openssl's own responder."""
    port, staple, index = free_port(), tmp_path / "staple.der", tmp_path / "index.txt"
    serial = format(leaf(certificate).serial_number, "02X")
    index.write_text(f"V\t301231235959Z\t\t{serial}\tunknown\t/CN={NAME}\n", "ascii")
    authority, folder = str(certificate.authority), certificate.authority.parent
    request = str(tmp_path / "request.der")
    run("openssl", "ocsp", "-issuer", authority, "-cert", str(certificate.chain), "-no_nonce", "-reqout", request)
    done = run(
        "openssl", "ocsp", "-index", str(index), "-rsigner", authority, "-rkey", str(folder / "ca.key"),
        "-CA", authority, "-reqin", request, "-respout", str(staple), "-ndays", "1",
    )  # fmt: skip
    assert staple.exists(), done.stderr
    chain = tmp_path / "chain.pem"
    chain.write_bytes(certificate.chain.read_bytes() + certificate.authority.read_bytes())
    start(processes, inbound(certificate, port, certificate_path=str(chain), ocsp_staple_path=str(staple)))
    assert "OCSP Response Status: successful" in s_client(port, "-status")
    url = f"https://{NAME}:{port}/"
    trust = ("--cacert", authority, "--resolve", f"{NAME}:{port}:{LOOPBACK}")
    curl("--cert-status", *trust, url)
    other = free_port()
    start(processes, inbound(certificate, other))
    with pytest.raises(ProcessFailed, match="91"):
        curl(
            "--cert-status",
            "--cacert",
            authority,
            "--resolve",
            f"{NAME}:{other}:{LOOPBACK}",
            f"https://{NAME}:{other}/",
        )


# -- one port ----------------------------------------------------------------------------------------------------------


def test_inbounds_that_share_a_port(
    processes: Processes, certificate: Certificate, site: Server, tmp_path: Path
) -> None:
    port, one = free_port(), another(tmp_path, "one")
    gproxy = start(
        processes,
        inbound(certificate, port, "web"),
        inbound(one, port, "named", server_name=f"named.{NAME}"),
        inbound(certificate, port, "smtp", alpn=["smtp"]),
    )
    assert shown(port, NAME, "-alpn", "http/1.1") == leaf(certificate)
    assert shown(port, f"named.{NAME}") == leaf(one)
    assert "ALPN protocol: smtp" in s_client(port, "-alpn", "smtp")
    assert "No ALPN negotiated" in s_client(port, "-alpn", "h2")
    trust = ("--proxy-cacert", str(certificate.authority), "--resolve", f"{NAME}:{port}:{LOOPBACK}")
    assert curl("-x", f"https://{NAME}:{port}", *trust, "-p", f"http://{site.authority}/") == HELLO
    gproxy.wait_log(" tcp web ")


def test_whom_nobody_is_for(processes: Processes, certificate: Certificate) -> None:
    port, other = free_ports(2)
    start(
        processes,
        inbound(certificate, port, "one", server_name="one.test"),
        inbound(certificate, port, "two", server_name="two.test"),
        inbound(certificate, other, "h2", alpn=["h2"]),
        inbound(certificate, other, "smtp", alpn=["smtp"]),
    )
    assert "unrecognized name" in s_client(port, name="three.test")
    assert "no application protocol" in s_client(other, "-alpn", "http/1.1")
    assert shown(port, "two.test") == leaf(certificate)
