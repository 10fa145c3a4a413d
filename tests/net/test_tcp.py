"""What the dial fields do to a socket; the promises of dialling are in tests/conformance/test_dialers.py."""

from __future__ import annotations

import socket as consts
from _socket import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

import pytest

from gproxy.base.errors import DialError
from gproxy.net import sockopt
from gproxy.net.bind import Endpoint
from gproxy.net.tcp import SocketOptions, connect

pytestmark = pytest.mark.usefixtures("no_leaks")

LOOPBACK = IPv4Address("127.0.0.1")


@pytest.fixture
def listener() -> Iterator[socket]:
    sock = Endpoint("stream", LOOPBACK, tcp_fast_open=True).open()
    yield sock
    sock.close()


def option(listener: socket, options: SocketOptions, level: int, name: int) -> int:
    stream = connect(LOOPBACK, listener.getsockname()[1], options)
    assert stream._sock is not None
    value: int = stream._sock.getsockopt(level, name)
    stream.close()
    return value


def test_small_writes_are_not_held_back(listener: socket) -> None:
    assert option(listener, SocketOptions(), consts.IPPROTO_TCP, consts.TCP_NODELAY)


def test_keep_alive(listener: socket) -> None:
    options = SocketOptions(keep_alive=sockopt.KeepAlive(77, 11))
    assert option(listener, options, consts.SOL_SOCKET, consts.SO_KEEPALIVE) == 1
    assert option(listener, options, consts.IPPROTO_TCP, consts.TCP_KEEPIDLE) == 77
    assert option(listener, options, consts.IPPROTO_TCP, consts.TCP_KEEPINTVL) == 11
    assert option(listener, SocketOptions(), consts.SOL_SOCKET, consts.SO_KEEPALIVE) == 0


def test_fast_open_and_reuse(listener: socket) -> None:
    options = SocketOptions(tcp_fast_open=True, reuse_addr=True)
    assert option(listener, options, consts.IPPROTO_TCP, sockopt.TCP_FASTOPEN_CONNECT) == 1
    assert option(listener, options, consts.SOL_SOCKET, consts.SO_REUSEADDR) == 1


@pytest.mark.parametrize("late", [False, True])
def test_the_source_address(listener: socket, late: bool) -> None:
    source = IPv4Address("127.0.0.9")
    options = SocketOptions(inet4_bind_address=source, bind_address_no_port=late)
    stream = connect(LOOPBACK, listener.getsockname()[1], options)
    bound = stream.bound()
    assert bound is not None
    assert bound.host == source
    stream.close()


def test_each_family_has_its_own_source() -> None:
    options = SocketOptions(inet4_bind_address=LOOPBACK, inet6_bind_address=IPv6Address("::1"))
    assert options.bind_address(consts.AF_INET) == LOOPBACK
    assert options.bind_address(consts.AF_INET6) == IPv6Address("::1")


@pytest.mark.parametrize(
    "options",
    [
        SocketOptions(bind_interface="no-such-if0"), SocketOptions(inet4_bind_address=IPv4Address("192.0.2.1")),
        SocketOptions(netns="no-such-namespace"), SocketOptions(netns="/no/such/file"),
    ],
)  # fmt: skip
def test_a_socket_that_can_not_be_made_is_a_failed_dial(listener: socket, options: SocketOptions) -> None:
    with pytest.raises(DialError) as caught:
        connect(LOOPBACK, listener.getsockname()[1], options)
    assert caught.value.reason == "failed"
    assert "127.0.0.1" in str(caught.value)
