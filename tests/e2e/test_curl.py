"""What a newcomer does first: curl through every kind of proxy that it knows."""

from __future__ import annotations

import pytest

from tests.e2e.proxy import Launcher, Proxy, inbound
from tests.support.origin import HELLO, Server
from tests.support.procs import curl, run
from tests.support.tls import Certificate

SCHEMES = ["socks4", "socks4a", "socks5", "socks5h", "http"]
USERS = [{"username": "bob", "password": "right: one"}, {"username": "eve", "password": ""}]
LOGIN = "bob:right%3A%20one"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_site(scheme: str, launch: Launcher, site: Server, tls_site: Server, certificate: Certificate) -> None:
    proxy = launch(inbound("mixed"), inbound("http" if scheme == "http" else "socks", tag="own"))
    named = scheme in ("socks4a", "socks5h", "http")
    for tag, port in zip(("in", "own"), proxy.ports, strict=True):
        via = ("-x", f"{scheme}://127.0.0.1:{port}")
        assert curl(*via, f"http://localhost:{site.port}/") == HELLO
        assert curl(*via, "-p", f"http://localhost:{site.port}/") == HELLO
        trust = ("--cacert", str(certificate.authority))
        assert curl(*via, *trust, f"https://localhost:{tls_site.port}/") == HELLO
        assert curl(*via, "-d", "a body", f"http://{site.authority}/") == b"a body"
        wanted = [f"{'localhost' if named else '127.0.0.1'}:{site.port}"] * 2
        assert [session["target"] for session in proxy.wait_sessions(4, status="ok", inbound=tag)][:2] == wanted


def test_users(launch: Launcher, site: Server) -> None:
    proxy = launch(inbound("mixed", users=USERS))
    for scheme in ("socks5", "socks5h", "http"):
        assert curl("-x", proxy.url(scheme, LOGIN), f"http://{site.authority}/") == HELLO
        assert curl("-x", proxy.url(scheme, LOGIN), "-p", f"http://{site.authority}/") == HELLO
    assert {session["user"] for session in proxy.wait_sessions(6, status="ok")} == {"bob"}


def test_a_socks4_user_has_no_password(launch: Launcher, site: Server) -> None:
    proxy = launch(inbound("mixed", users=USERS))
    for scheme in ("socks4", "socks4a"):
        assert curl("-x", proxy.url(scheme, "eve"), f"http://{site.authority}/") == HELLO
        for login in ("bob", ""):
            assert run("curl", "-sS", "-x", proxy.url(scheme, login), f"http://{site.authority}/").returncode == 97
    assert {session["user"] for session in proxy.wait_sessions(2, status="ok")} == {"eve"}
    proxy.wait_sessions(4, status="auth")


def test_wrong_users(launch: Launcher, site: Server) -> None:
    proxy = launch(inbound("mixed", users=USERS))
    url = f"http://{site.authority}/"
    for login in ("bob:wrong", "nobody:right", "bob", ""):
        shown = curl("-x", proxy.url("http", login), "-o", "/dev/null", "-w", "%{http_code}", url)
        assert shown == b"407"
        connect = run("curl", "-sS", "-p", "-x", proxy.url("http", login), url)
        assert connect.returncode == 56
        assert b"407" in connect.stderr
        assert run("curl", "-sS", "-x", proxy.url("socks5h", login), url).returncode == 97
    proxy.wait_sessions(9, status="auth")
    proxy.wait_sessions(2, status="auth-missing")
    proxy.session(status="auth-method")


def test_what_an_origin_gets_to_see(proxy: Proxy, site: Server) -> None:
    seen = curl("-x", proxy.url("http"), "-H", "Proxy-Connection: x", f"http://{site.authority}/headers").decode()
    assert seen.startswith("GET /headers HTTP/1.1\r\n")
    assert f"Host: {site.authority}" in seen
    assert "proxy" not in seen.lower()


def test_chunked_and_length_bodies(proxy: Proxy, site: Server) -> None:
    for size in (0, 1, 65536, 3_000_000):
        for kind in ("chunked", "bytes"):
            assert len(curl("-x", proxy.url("http"), f"http://{site.authority}/{kind}/{size}")) == size
        data = b"x" * size
        for extra in ((), ("-H", "Transfer-Encoding: chunked"), ("-H", "Expect: 100-continue"), ("--http1.0",)):
            argv = ("curl", "-sS", "-x", proxy.url("http"), *extra, "--data-binary", "@-", f"http://{site.authority}/")
            answer = run(*argv, data=data)
            assert answer.stdout == data, (size, extra, answer.stderr)


def test_many_requests_follow_each_other(proxy: Proxy, site: Server) -> None:
    urls = [f"http://{site.authority}/bytes/{number}" for number in range(50)]
    away = [part for url in urls for part in ("-o", "/dev/null", url)]
    output = curl("-x", proxy.url("http"), "-w", "%{num_connects}\n", *away)
    assert output.split() == [b"1"] + [b"0"] * 49
    assert proxy.session()["status"] == "ok"
