from __future__ import annotations

from ipaddress import ip_address

import pytest

from gproxy.base.address import UNSPECIFIED, Address
from gproxy.base.errors import Denied
from gproxy.base.session import DialOptions, Session
from gproxy.net.direct import SystemDialer
from gproxy.net.inner import Inner, is_inner
from gproxy.net.tcp import SocketOptions
from tests.support.origin import tcp_echo, udp_echo

LOOPBACK = ip_address("127.0.0.1")


@pytest.mark.parametrize(
    ("text", "inner"),
    [
        ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("0.0.0.0", True), ("::", True),
        ("169.254.169.254", True), ("fe80::1", True), ("fd00:ec2::254", True), ("100.100.100.200", True),
        ("10.0.0.1", False), ("192.0.2.1", False), ("fd00::1", False), ("2001:db8::1", False), ("100.64.0.1", False),
    ],
)  # fmt: skip
def test_addresses(text: str, inner: bool) -> None:
    assert is_inner(ip_address(text)) is inner


def session(source: str, target: Address, *, internal: bool = False) -> Session:
    client = Address.parse(source) if source else UNSPECIFIED
    return Session(1, "tcp", "in", client, target, dial=DialOptions(internal=internal))


def test_whom_it_concerns() -> None:
    inner, target = Inner(), Address(LOOPBACK, 80)
    assert inner.concerns(session("192.0.2.1:5", target))
    for one in (session("127.0.0.1:5", target), session("[::1]:5", target), session("", target)):
        assert not inner.concerns(one)
    assert not inner.concerns(session("192.0.2.1:5", target, internal=True))


def test_of_a_name_s_addresses_the_others_are_left() -> None:
    public = ip_address("192.0.2.1")
    assert Inner().outer([LOOPBACK, public], 80) == (public,)
    with pytest.raises(Denied, match=r"127\.0\.0\.1:80 is for this machine alone"):
        Inner().outer([LOOPBACK], 80)
    assert Inner().outer([], 80) == ()


def test_the_ports_where_gproxy_is_ruled(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, other = ip_address("192.0.2.1"), ip_address("192.0.2.2")
    monkeypatch.setattr("gproxy.net.inner._is_ours", lambda ip: ip == ours)
    inner = Inner([9090])
    inner.check(ours, 80)
    inner.check(other, 9090)
    with pytest.raises(Denied):
        inner.check(ours, 9090)


def test_what_is_ours() -> None:
    from gproxy.net.inner import _is_ours

    assert _is_ours(LOOPBACK)
    assert not _is_ours(ip_address("192.0.2.1"))


def dialer(*addresses: str) -> SystemDialer:
    found = tuple(ip_address(text) for text in addresses)
    return SystemDialer(SocketOptions(), 5, 0.3, lambda domain, session: found, Inner())


@pytest.mark.parametrize("host", [LOOPBACK, "rebound.test"])
def test_who_comes_from_elsewhere_does_not_get_there(host: object) -> None:
    with tcp_echo() as server:
        target = Address(host, int(server.authority.rpartition(":")[2]))  # type: ignore[arg-type]
        dialler = dialer("127.0.0.1")
        with pytest.raises(Denied) as caught:
            dialler.dial(target, session("192.0.2.1:5", target))
        assert caught.value.word == "denied-target"
        dialler.dial(target, session("127.0.0.1:5", target)).close()
        dialler.dial(target, session("192.0.2.1:5", target, internal=True)).close()
        server_on_the_way = session("192.0.2.1:5", Address("site.test", 443))
        dialler.dial(target, server_on_the_way).close()


@pytest.mark.parametrize("host", [LOOPBACK, "rebound.test"])
def test_nor_do_its_datagrams(host: object) -> None:
    with udp_echo() as server:
        port = int(server.authority.rpartition(":")[2])
        target = Address(host, port)  # type: ignore[arg-type]
        conn = dialer("127.0.0.1").dial_packet(target, session("192.0.2.1:5", target))
        try:
            for _ in range(2):
                with pytest.raises(Denied):
                    conn.send_to(b"x", target)
            with pytest.raises(Denied):
                conn.send_to(b"x", Address(LOOPBACK, port))
        finally:
            conn.close()
        conn = dialer("127.0.0.1").dial_packet(target, session("127.0.0.1:5", target))
        conn.send_to(b"x", target)
        assert bytes(conn.recv_from()[0]) == b"x"
        conn.close()
