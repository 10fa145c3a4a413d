from __future__ import annotations

import os
import socket as consts
from _socket import socket

import pytest

from gproxy.net.sockopt import (
    KeepAlive,
    bind_to_interface,
    keep_alive,
    network_namespace,
    set_udp_fragment,
    unacknowledged,
)

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.mark.parametrize(
    ("disabled", "idle", "interval", "expected"),
    [
        (True, 300, 75, None), (False, 300, 75, KeepAlive(300, 75)), (False, 0.2, 0.1, KeepAlive(1, 1)),
        (False, 0, 0, KeepAlive(300, 75)),
        (False, 1.6, 1e9, KeepAlive(2, 32767)),
    ],
)  # fmt: skip
def test_keep_alive_is_counted_in_whole_seconds(
    disabled: bool, idle: float, interval: float, expected: KeepAlive | None
) -> None:
    assert keep_alive(disabled, idle, interval) == expected


@pytest.mark.parametrize("seconds", [1, 32767])
def test_the_kernel_takes_the_ends_of_the_range(seconds: int) -> None:
    sock = socket(consts.AF_INET, consts.SOCK_STREAM)
    KeepAlive(seconds, seconds).apply(sock)
    assert sock.getsockopt(consts.IPPROTO_TCP, consts.TCP_KEEPIDLE) == seconds
    sock.close()


def test_an_interface() -> None:
    sock = socket(consts.AF_INET, consts.SOCK_DGRAM)
    bind_to_interface(sock, "lo")
    assert sock.getsockopt(consts.SOL_SOCKET, consts.SO_BINDTODEVICE, 16).rstrip(b"\0") == b"lo"
    with pytest.raises(OSError):
        bind_to_interface(sock, "no-such-if0")
    sock.close()


@pytest.mark.parametrize(
    ("family", "level", "name"),
    [(consts.AF_INET, consts.IPPROTO_IP, 10), (consts.AF_INET6, consts.IPPROTO_IPV6, 23)],
)
def test_fragments(family: int, level: int, name: int) -> None:
    sock = socket(family, consts.SOCK_DGRAM)
    set_udp_fragment(sock, family, True)
    assert sock.getsockopt(level, name) == 1
    set_udp_fragment(sock, family, False)
    assert sock.getsockopt(level, name) == 2
    sock.close()


def test_a_namespace_that_is_not_there_leaves_us_where_we_are() -> None:
    before = os.readlink("/proc/thread-self/ns/net")
    for name in ("no-such-namespace", "/no/such/file"):
        with pytest.raises(FileNotFoundError), network_namespace(name):
            raise AssertionError
    assert os.readlink("/proc/thread-self/ns/net") == before


def test_a_file_that_is_no_namespace() -> None:
    with pytest.raises(OSError), network_namespace("/dev/null"):
        raise AssertionError


def test_what_has_not_arrived_yet() -> None:
    """A system that may hold what it acknowledges is not asked to: so nobody is there."""
    listener, client = (socket(consts.AF_INET, consts.SOCK_STREAM | consts.SOCK_NONBLOCK) for _ in range(2))
    unix, other = consts.socketpair()
    with unix, other:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        assert unacknowledged(unix.fileno()) == 0
        assert unacknowledged(client.fileno()) == 0
        full = [socket(consts.AF_INET, consts.SOCK_STREAM | consts.SOCK_NONBLOCK) for _ in range(8)]
        for each in full:
            each.connect_ex(listener.getsockname())
        assert unacknowledged(full[-1].fileno()) == 1, "its SYN"
        assert unacknowledged(full[0].fileno()) == 0
        for each in full:
            each.close()
    listener.close()
    client.close()
