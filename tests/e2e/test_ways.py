"""Ways out: chains of proxies, detours of inbounds, rules that send here and there, or nowhere."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import Any

import pytest

from tests.e2e.clients import Refused, connect, everything, exactly, packed, say, socks5, tunnel
from tests.e2e.proxy import Launcher, Proxy, inbound, outbound
from tests.e2e.servers import serving
from tests.support.origin import HELLO, Server, http_origin, tcp_echo
from tests.support.ports import LOOPBACK, free_port
from tests.support.procs import curl, run

USER = {"username": "chain", "password": "three links"}


def code(proxy: Proxy, target: tuple[str, int]) -> int:
    """What a SOCKS5 client is told; 0 if it gets through."""
    try:
        tunnel(proxy.port, target).close()
    except Refused as refused:
        return refused.code
    return 0


@pytest.mark.parametrize("versions", ["socks5 http direct", "socks4a socks5 direct", "http socks4 direct"])
def test_three_gproxies_in_a_row(versions: str, launch: Launcher, site: Server) -> None:
    def hop(name: str, port: int) -> dict[str, Any]:
        if name == "http":
            return outbound("http", port, **USER)
        version = name.removeprefix("socks")
        return outbound("socks", port, version=version, **(USER if version == "5" else {"username": "four"}))

    users = [USER, {"username": "four", "password": ""}]
    first, second, _ = versions.split()
    last = launch(inbound("mixed", users=users))
    middle = launch(inbound("mixed", users=users), outbounds=(hop(second, last.port),))
    proxy = launch(outbounds=(hop(first, middle.port),))
    for scheme in ("socks5h", "http"):
        assert curl("-x", proxy.url(scheme), f"http://localhost:{site.port}/bytes/70000") == curl(
            f"http://localhost:{site.port}/bytes/70000"
        )
    assert len(last.wait_sessions(2, status="ok")) == len(proxy.wait_sessions(2, status="ok"))


def test_detours_of_outbounds(launch: Launcher, site: Server) -> None:
    """One process in front, two hops behind it: each knows only its neighbours."""
    near, far = launch(inbound("socks")), launch(inbound("http"))
    chain = (
        outbound("direct", tag="out", detour="far"),
        outbound("http", far.port, tag="far", detour="near"),
        outbound("socks", near.port, tag="near"),
    )
    proxy = launch(outbounds=chain)
    assert curl("-x", proxy.url("socks5h"), f"http://{site.authority}/") == HELLO
    assert near.session()["target"] == f"{LOOPBACK}:{far.port}"
    assert far.session()["target"] == site.authority
    assert proxy.session()["outbound"] == "out"


def test_an_inbound_that_leads_to_another(launch: Launcher, site: Server) -> None:
    """SOCKS inside a tunnel inside HTTP: the last inbound decides, and the log tells its name."""
    proxy = launch(inbound("http", tag="outer", detour="inner"), inbound("socks", tag="inner"))
    with connect(proxy.ports[0]) as sock:
        sock.sendall(b"CONNECT ignored.test:1 HTTP/1.1\r\nHost: ignored.test:1\r\n\r\n")
        assert exactly(sock, 39).startswith(b"HTTP/1.1 200 ")
        sock.sendall(b"\x05\x01\x00")
        assert exactly(sock, 2) == b"\x05\x00"
        sock.sendall(b"\x05\x01\x00" + packed((site.host, site.port)))
        assert exactly(sock, 10)[:2] == b"\x05\x00"
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert everything(sock).endswith(HELLO)
    assert proxy.session(status="ok")["inbound"] == "inner"


def test_block(launch: Launcher, site: Server) -> None:
    proxy = launch(outbounds=(outbound("block"),))
    assert code(proxy, (site.host, site.port)) == 2
    shown = curl("-x", proxy.url("http"), "-w", "%{http_code}", "-o", "/dev/null", f"http://{site.authority}/")
    assert shown == b"403"
    assert run("curl", "-p", "-sS", "-x", proxy.url("http"), f"http://{site.authority}/").returncode == 56
    proxy.wait_sessions(3, status="rejected", outbound="block")


def test_rejections(launch: Launcher, echo: Server) -> None:
    port = echo.port
    proxy = launch(
        inbound("mixed"),
        inbound("direct", tag="tunnel", override_port=port),
        rules=(
            {"inbound": "tunnel", "action": "reject"},
            {"domain_suffix": ["drop.test"], "action": "reject", "method": "drop"},
            {"type": "logical", "mode": "and", "action": "reject",
             "rules": [{"domain_keyword": "bad"}, {"port": [80], "invert": True}]},
            {"domain_regex": ["^ads?[0-9]*\\."], "action": "reject"},
            {"source_ip_cidr": ["127.0.0.0/8"], "ip_cidr": ["192.0.2.0/24"], "action": "reject"},
        ),
    )  # fmt: skip
    for target in (("very-bad.test", 443), ("ad7.test", 1), ("ads.x.test", 2), ("192.0.2.77", 1)):
        assert code(proxy, target) == 2, target
    assert code(proxy, ("www.drop.test", 1)) == -1
    assert code(proxy, ("bad.invalid", 80)) == 4
    assert code(proxy, ("drop.test.invalid", 1)) == 4
    assert code(proxy, (echo.host, port)) == 0
    request = b"GET http://%s/ HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n"
    assert say(proxy.port, request % (b"bad.test:81", b"bad.test:81"), end=False).startswith(b"HTTP/1.1 403 ")
    assert say(proxy.port, request % (b"drop.test", b"drop.test"), end=False) == b""
    with pytest.raises(ConnectionResetError), connect(proxy.ports[1]) as sock:  # which may come before we know it open
        sock.recv(1)
    proxy.wait_sessions(8, status="rejected")
    proxy.wait_sessions(2, status="dial-dns")
    assert all("rule" in session for session in proxy.sessions(status="rejected"))


def test_rules_that_rewrite_and_resolve(launch: Launcher) -> None:
    with tcp_echo() as four, tcp_echo("::1") as six:
        proxy = launch(
            outbounds=(outbound("direct"), outbound("block")),
            rules=(
                {"domain": ["one.test"], "action": "route-options", "override_address": LOOPBACK,
                 "override_port": four.port},
                {"domain": ["six.test"], "outbound": "direct", "override_address": "::1", "override_port": six.port},
                {"domain": ["localhost"], "action": "resolve", "strategy": "ipv4_only"},
                {"ip_is_private": True, "port": [four.port], "outbound": "direct"},
            ),
            final="block",
        )  # fmt: skip
        for name, asked in (("one.test", 1), ("six.test", 2), ("localhost", four.port)):
            with tunnel(proxy.port, (name, asked)) as sock:
                sock.sendall(b"x")
                assert sock.recv(1) == b"x"
                sock.shutdown(socket.SHUT_WR)
                assert everything(sock) == b""
        assert code(proxy, ("other.test", 1)) == 2
        one, two = proxy.wait_sessions(1, asked="one.test:1") + proxy.wait_sessions(1, asked="six.test:2")
        assert (one["target"], two["target"]) == (f"{LOOPBACK}:{four.port}", f"[::1]:{six.port}")


def test_rules_that_know_the_user(launch: Launcher) -> None:
    users = [{"username": name, "password": "p"} for name in ("in", "out")]
    with http_origin() as origin:
        proxy = launch(
            inbound("mixed", users=users),
            outbounds=(outbound("direct"), outbound("block")),
            rules=({"auth_user": ["in"], "network": "tcp", "outbound": "direct"},),
            final="block",
        )
        url = f"http://{origin.authority}/"
        assert curl("-x", proxy.url("http", "in:p"), url) == HELLO
        shown = curl("-x", proxy.url("http", "out:p"), "-o", "/dev/null", "-w", "%{http_code}", url)
        assert shown == b"403"
    assert proxy.session(status="rejected")["user"] == "out"


def test_upstreams_that_fail(launch: Launcher, site: Server, stack: ExitStack) -> None:
    """An upstream that refuses, that is another protocol, or that knows other users: each has its word."""
    strict = launch(inbound("mixed", users=[USER]))
    dead = free_port()
    other = stack.enter_context(serving(lambda sock: sock.sendall(b"220 mail.test ESMTP\r\n")))
    cases: list[tuple[dict[str, Any], int, str]] = [
        (outbound("socks", dead), 5, "dial-refused"),
        (outbound("http", dead), 5, "dial-refused"),
        (outbound("socks", strict.port), 1, "dial-declined"),
        (outbound("http", strict.port, username="chain", password="wrong"), 1, "dial-declined"),
        (outbound("socks", strict.port, username="chain", password="wrong"), 1, "dial-declined"),
        (outbound("socks", other.port), 1, "dial-declined"),
        (outbound("http", other.port), 1, "dial-declined"),
        (outbound("http", site.port), 1, "dial-declined"),
        (outbound("socks", dead, server="no-such-name.invalid"), 4, "dial-dns"),
    ]
    inbounds = [inbound("socks", tag=f"in{number}") for number in range(len(cases))]
    proxy = launch(
        *inbounds,
        outbounds=tuple(dict(case[0], tag=f"out{number}") for number, case in enumerate(cases)),
        rules=tuple({"inbound": f"in{number}", "outbound": f"out{number}"} for number in range(len(cases))),
    )
    for port, (_, wanted, word) in zip(proxy.ports, cases, strict=True):
        with pytest.raises(Refused) as refused:
            socks5(port, (site.host, site.port))
        assert refused.value.code == wanted, word
    assert [session["status"] for session in proxy.wait_sessions(len(cases))] == [word for _, _, word in cases]
