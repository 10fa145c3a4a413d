"""Sniffing with real clients: what they say first decides, and none of it is lost or held up."""

from __future__ import annotations

import hashlib
import socket
import time
from contextlib import ExitStack

import pytest

from tests.e2e.clients import association, everything, exactly, tunnel
from tests.e2e.proxy import Launcher, Proxy, inbound
from tests.e2e.servers import serving
from tests.e2e.tools import needs
from tests.route.sniff.first import HTTP, QUIC_FIRST, QUIC_SECOND, TLS
from tests.support.origin import HELLO, Server, content, digest
from tests.support.ports import LOOPBACK, free_port
from tests.support.procs import Processes, curl, run
from tests.support.tls import Certificate
from tests.wire.laws_clienthello import host, message
from tests.wire.laws_quicinitial import crypto, sealed

SNIFF = {"action": "sniff"}
SIZE = 200_000_000


def routed(launch: Launcher, *rules: dict[str, object], **more: object) -> Proxy:
    """A mixed inbound whose sessions are sniffed; then these rules."""
    return launch(inbound("mixed", **more), rules=(SNIFF, *rules))


@pytest.mark.parametrize("scheme", ["socks4a", "socks5", "socks5h", "http"])
def test_a_site_by_what_its_client_says(
    scheme: str, launch: Launcher, site: Server, tls_site: Server, certificate: Certificate
) -> None:
    blocked = {"domain_suffix": "blocked.test", "action": "reject"}
    proxy = routed(launch, blocked)
    via = ("-x", proxy.url(scheme), "-p")
    trust = ("--cacert", str(certificate.authority))
    assert curl(*via, f"http://{site.authority}/") == HELLO
    assert curl(*via, *trust, f"https://localhost:{tls_site.port}/") == HELLO
    assert run("curl", "-sS", *via, "-H", "Host: www.blocked.test", f"http://{site.authority}/").returncode != 0
    named = ("--connect-to", f"www.blocked.test:{tls_site.port}:127.0.0.1:{tls_site.port}")
    assert run("curl", "-sS", *via, *trust, *named, f"https://www.blocked.test:{tls_site.port}/").returncode != 0
    proxy.session(protocol="http", status="ok")
    assert proxy.session(protocol="tls", status="ok")["domain"] == "localhost"
    refused = proxy.wait_sessions(2, status="rejected", domain="www.blocked.test")
    assert {session["protocol"] for session in refused} == {"http", "tls"}


def test_forwarded_requests_are_sniffed_too(launch: Launcher, site: Server) -> None:
    proxy = routed(launch, {"protocol": "http", "domain": "blocked.test", "action": "reject"})
    url = f"http://{site.authority}/"
    assert curl("-x", proxy.url("http"), url, url) == HELLO * 2
    assert proxy.session(status="ok")["protocol"] == "http"


def test_the_sniffed_domain_becomes_the_target(launch: Launcher, site: Server) -> None:
    proxy = launch(
        inbound("direct", override_address="192.0.2.1", override_port=site.port),
        rules=(SNIFF | {"override_destination": True},),
    )
    answer = curl("-H", f"Host: localhost:{site.port}", f"http://127.0.0.1:{proxy.port}/")
    assert answer == HELLO
    session = proxy.session(status="ok")
    assert (session["target"], session["asked"]) == (f"localhost:{site.port}", f"192.0.2.1:{site.port}")


def test_a_name_that_is_no_domain_becomes_no_target(launch: Launcher, site: Server) -> None:
    proxy = launch(
        inbound("direct", override_address="127.0.0.1", override_port=site.port),
        rules=(SNIFF | {"override_destination": True},),
    )
    for name in ("192.0.2.1", "a b", ".."):
        assert curl("-H", f"Host: {name}", f"http://127.0.0.1:{proxy.port}/") == HELLO
    assert {session["target"] for session in proxy.wait_sessions(3, status="ok")} == {site.authority}


def test_ssh(launch: Launcher) -> None:
    needs("ssh")
    proxy = launch(
        inbound("direct", override_address=LOOPBACK, override_port=free_port()),
        rules=(SNIFF, {"protocol": "ssh", "action": "reject"}),
    )
    run("ssh", "-F", "none", "-o", "BatchMode=yes", "-p", str(proxy.port), LOOPBACK)
    assert proxy.session(status="rejected")["protocol"] == "ssh"


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_dig(protocol: str, launch: Launcher) -> None:
    needs("dig")
    proxy = launch(
        inbound("direct", override_address=LOOPBACK, override_port=free_port()),
        rules=(
            SNIFF,
            {"protocol": "dns", "action": "reject"},
        ),
    )
    how = ["+tcp"] if protocol == "tcp" else []
    run("dig", "@127.0.0.1", "-p", str(proxy.port), "+tries=1", "+timeout=1", *how, "site.test")
    if protocol == "udp":
        proxy.stop_now()
    assert proxy.wait_sessions(1, status="rejected")[0]["protocol"] == "dns"


def test_quic(launch: Launcher) -> None:
    needs("kdig")
    proxy = launch(
        inbound("direct", network="udp", override_address=LOOPBACK, override_port=free_port()),
        rules=(
            SNIFF,
            {"protocol": "quic", "domain": "quic.test", "action": "reject"},
        ),
    )
    kdig = ("kdig", "+tls-hostname=quic.test", "+quic", "+time=1", "+retry=0")
    run(*kdig, "@127.0.0.1", "-p", str(proxy.port), "site.test")
    proxy.stop_now()
    session = proxy.session(status="rejected")
    assert (session["protocol"], session["domain"]) == ("quic", "quic.test")


def test_a_hello_in_two_datagrams_arrives_whole_and_in_order(launch: Launcher, udp_echo_server: Server) -> None:
    proxy = launch(
        inbound("mixed"),
        rules=(
            SNIFF,
            {"network": "udp", "domain": "quic.test", "invert": True, "action": "reject"},
        ),
    )
    with association(proxy.port) as client:
        client.send(QUIC_SECOND, (LOOPBACK, udp_echo_server.port))
        client.send(QUIC_FIRST, (LOOPBACK, udp_echo_server.port))
        assert [client.receive()[0], client.receive()[0]] == [QUIC_SECOND, QUIC_FIRST]
        assert client.ask(b"more", (LOOPBACK, udp_echo_server.port)) == b"more"
    assert proxy.session(network="udp")["domain"] == "quic.test"


def test_datagrams_go_to_the_sniffed_domain_and_answers_come_from_where_they_were_sent(
    launch: Launcher, udp_echo_server: Server
) -> None:
    proxy = launch(
        inbound("mixed"), rules=(SNIFF | {"override_destination": True}, {"action": "resolve", "strategy": "ipv4_only"})
    )
    hello = sealed(crypto(0, message(host(b"localhost"))) + bytes(900))
    with association(proxy.port) as client:
        assert client.ask(hello, ("192.0.2.1", udp_echo_server.port)) == hello
        assert client.ask(b"more", ("192.0.2.1", udp_echo_server.port)) == b"more"
    session = proxy.session(network="udp")
    assert session["target"] == f"localhost:{udp_echo_server.port}"
    assert session["asked"] == f"192.0.2.1:{udp_echo_server.port}"


def test_a_server_that_speaks_first_delays_nobody_for_long(launch: Launcher, stack: ExitStack) -> None:
    def greet(sock: socket.socket) -> None:
        sock.sendall(b"220 ready\r\n")
        sock.sendall(sock.recv(100))

    server = stack.enter_context(serving(greet))
    proxy = launch(inbound("mixed"), rules=(SNIFF | {"timeout": "1s"},))
    took = []
    for _ in range(2):
        with tunnel(proxy.port, (LOOPBACK, server.port)) as client:
            began = time.monotonic()
            assert exactly(client, 11) == b"220 ready\r\n"
            took.append(time.monotonic() - began)
            client.sendall(b"EHLO me\r\n")
            assert everything(client) == b"EHLO me\r\n"
    assert took[0] >= 0.9
    assert took[1] < 0.5
    proxy.wait_sessions(2, status="ok", up=9, down=20)


def test_a_client_that_cuts_its_hello(launch: Launcher, stack: ExitStack, echo: Server) -> None:
    proxy = routed(launch)
    client = stack.enter_context(tunnel(proxy.port, (LOOPBACK, echo.port)))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for at in range(0, len(TLS), 7):
        client.sendall(TLS[at : at + 7])
    assert exactly(client, len(TLS)) == TLS
    client.sendall(b"more")
    client.shutdown(socket.SHUT_WR)
    assert everything(client) == b"more"
    assert proxy.session(status="ok")["domain"] == "site.test"


def test_a_request_and_an_end_at_once(launch: Launcher, stack: ExitStack, echo: Server) -> None:
    proxy = routed(launch)
    client = stack.enter_context(tunnel(proxy.port, (LOOPBACK, echo.port)))
    client.sendall(HTTP)
    client.shutdown(socket.SHUT_WR)
    assert everything(client) == HTTP
    proxy.session(status="ok", protocol="http")


def test_a_target_that_is_not_there_after_the_yes(launch: Launcher, stack: ExitStack) -> None:
    proxy = routed(launch)
    client = stack.enter_context(tunnel(proxy.port, (LOOPBACK, free_port())))
    client.sendall(HTTP)
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    proxy.session(status="dial-refused", protocol="http")


def test_much_after_a_sniff(launch: Launcher, site: Server) -> None:
    """The fast pumps serve a stream that was sniffed."""
    proxy = routed(launch)
    seen = hashlib.sha256()
    data = curl("-x", proxy.url("socks5"), f"http://{site.authority}/bytes/{SIZE}", seconds=60)
    seen.update(data)
    assert seen.hexdigest() == digest(SIZE)
    sent = hashlib.sha256(b"".join(content(3_000_000))).hexdigest()
    body = b"".join(content(3_000_000))
    back = run("curl", "-sS", "-x", proxy.url("socks5"), "--data-binary", "@-", f"http://{site.authority}/", data=body)
    assert hashlib.sha256(back.stdout).hexdigest() == sent
    proxy.wait_sessions(2, protocol="http", status="ok")


def test_over_shared_links(launch: Launcher, processes: Processes, site: Server) -> None:
    """The streams of a link are sniffed as any other; their client waits for no reply."""
    login = {"method": "2022-blake3-aes-128-gcm", "password": "AAECAwQFBgcICQoLDA0ODw=="}
    server = launch(
        inbound("shadowsocks", **login, multiplex={"enabled": True}),
        rules=(
            SNIFF,
            {"domain": "blocked.test", "action": "reject"},
        ),
    )
    way = {"type": "shadowsocks", "tag": "out", "server": LOOPBACK, "server_port": server.port, **login,
           "multiplex": {"enabled": True, "protocol": "smux"}}  # fmt: skip
    client = launch(inbound("mixed"), outbounds=[way])
    assert curl("-x", client.url("socks5"), f"http://{site.authority}/") == HELLO
    refused = run("curl", "-sS", "-x", client.url("socks5"), "-H", "Host: blocked.test", f"http://{site.authority}/")
    assert refused.returncode != 0
    server.session(protocol="http", status="ok")
    server.session(protocol="http", status="rejected", domain="blocked.test")
    client.stop_now()  # and with it the link, which it would keep
    server.stop_now()
