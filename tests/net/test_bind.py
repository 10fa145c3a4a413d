from __future__ import annotations

import errno
import os
import socket as consts
from _socket import socket
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from gproxy.net.bind import Endpoint, remove_stale
from gproxy.net.sockopt import KeepAlive
from tests.support.ports import free_port

pytestmark = pytest.mark.usefixtures("no_leaks")

LOOPBACK = IPv4Address("127.0.0.1")
LOOPBACK6 = IPv6Address("::1")


class Opened:
    """Sockets that are closed at the end of the test."""

    def __init__(self) -> None:
        self.all: list[socket] = []

    def __call__(self, endpoint: Endpoint, *, shared: bool = False) -> socket:
        self.all.append(endpoint.open(shared=shared))
        return self.all[-1]


@pytest.fixture
def opened() -> Iterator[Opened]:
    opened = Opened()
    yield opened
    for sock in opened.all:
        sock.close()


def option(sock: socket, level: int, name: int) -> int:
    value: int = sock.getsockopt(level, name)
    return value


def can_connect(family: int, name: object) -> bool:
    probe = socket(family, consts.SOCK_STREAM)
    code = probe.connect_ex(name)
    probe.close()
    return code == 0


def test_a_stream_socket_listens_and_does_not_block(opened: Opened) -> None:
    sock = opened(Endpoint("stream", LOOPBACK))
    assert option(sock, consts.SOL_SOCKET, consts.SO_ACCEPTCONN)
    assert option(sock, consts.IPPROTO_TCP, consts.TCP_NODELAY)
    assert not sock.getblocking()
    assert not sock.get_inheritable() if hasattr(sock, "get_inheritable") else not os.get_inheritable(sock.fileno())
    assert can_connect(consts.AF_INET, sock.getsockname())


def test_a_packet_socket_is_bound(opened: Opened) -> None:
    sock = opened(Endpoint("packet", LOOPBACK))
    assert sock.type & consts.SOCK_DGRAM
    assert sock.getsockname()[1] > 0
    assert not sock.getblocking()


def test_any_address_of_version_six_takes_both(opened: Opened) -> None:
    sock = opened(Endpoint("stream", IPv6Address("::")))
    port = sock.getsockname()[1]
    assert can_connect(consts.AF_INET, ("127.0.0.1", port))
    assert can_connect(consts.AF_INET6, ("::1", port))


def test_one_address_of_version_six_is_that_alone(opened: Opened) -> None:
    port = opened(Endpoint("stream", LOOPBACK6)).getsockname()[1]
    assert not can_connect(consts.AF_INET, ("127.0.0.1", port))


@pytest.mark.parametrize("kind", ["stream", "packet"])
def test_a_port_in_use(opened: Opened, kind: str) -> None:
    port = opened(Endpoint(kind, LOOPBACK)).getsockname()[1]  # type: ignore[arg-type]
    with pytest.raises(OSError) as caught:
        opened(Endpoint(kind, LOOPBACK, port))  # type: ignore[arg-type]
    assert caught.value.errno == errno.EADDRINUSE


@pytest.mark.parametrize("kind", ["stream", "packet"])
def test_a_port_may_be_shared_by_those_who_agree(opened: Opened, kind: str) -> None:
    endpoint = Endpoint(kind, LOOPBACK, free_port())  # type: ignore[arg-type]
    opened(endpoint, shared=True)
    opened(endpoint, shared=True)
    with pytest.raises(OSError):
        opened(endpoint)


def test_a_restart_does_not_wait_for_old_connections(opened: Opened) -> None:
    first = Endpoint("stream", LOOPBACK).open()
    name = first.getsockname()
    client = socket(consts.AF_INET, consts.SOCK_STREAM)
    client.connect(name)
    fd, _ = first._accept()
    os.close(fd)  # the server closes first: its side stays in TIME_WAIT
    client.close()
    first.close()
    opened(Endpoint("stream", LOOPBACK, name[1]))


def test_the_options_reach_the_kernel(opened: Opened) -> None:
    sock = opened(Endpoint("stream", LOOPBACK, tcp_fast_open=True, keep_alive=KeepAlive(100, 20)))
    assert option(sock, consts.SOL_SOCKET, consts.SO_KEEPALIVE)
    assert option(sock, consts.IPPROTO_TCP, consts.TCP_KEEPIDLE) == 100
    assert option(sock, consts.IPPROTO_TCP, consts.TCP_KEEPINTVL) == 20
    assert option(sock, consts.IPPROTO_TCP, consts.TCP_FASTOPEN) > 0
    assert option(opened(Endpoint("packet", LOOPBACK, reuse_addr=True)), consts.SOL_SOCKET, consts.SO_REUSEADDR)


def test_an_interface_that_is_not_there_leaves_no_socket(opened: Opened) -> None:
    with pytest.raises(OSError):
        opened(Endpoint("stream", LOOPBACK, bind_interface="no-such-if0"))


def test_an_address_of_another_machine(opened: Opened) -> None:
    with pytest.raises(OSError) as caught:
        opened(Endpoint("stream", IPv4Address("192.0.2.1")))
    assert caught.value.errno == errno.EADDRNOTAVAIL


def test_a_unix_socket(opened: Opened, tmp_path: Path) -> None:
    path = str(tmp_path / "sock")
    opened(Endpoint("stream", path))
    assert can_connect(consts.AF_UNIX, path)


def test_one_that_nobody_listens_on_any_more_is_replaced(opened: Opened, tmp_path: Path) -> None:
    path = str(tmp_path / "sock")
    Endpoint("stream", path).open().close()
    assert Path(path).exists()
    opened(Endpoint("stream", path))
    assert can_connect(consts.AF_UNIX, path)


def test_one_that_is_alive_is_left_alone(opened: Opened, tmp_path: Path) -> None:
    path = str(tmp_path / "sock")
    opened(Endpoint("stream", path))
    with pytest.raises(OSError) as caught:
        opened(Endpoint("stream", path))
    assert caught.value.errno == errno.EADDRINUSE
    assert can_connect(consts.AF_UNIX, path)


def test_one_that_is_alive_and_busy_is_not_waited_for(tmp_path: Path) -> None:
    path = str(tmp_path / "sock")
    busy = socket(consts.AF_UNIX, consts.SOCK_STREAM)
    busy.bind(path)
    busy.listen(0)
    waiting = [socket(consts.AF_UNIX, consts.SOCK_STREAM | consts.SOCK_NONBLOCK) for _ in range(3)]
    assert errno.EAGAIN in {sock.connect_ex(path) for sock in waiting}
    remove_stale(path)
    assert Path(path).exists()
    for sock in (busy, *waiting):
        sock.close()


def test_a_file_that_is_no_socket_is_left_alone(opened: Opened, tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(OSError):
        opened(Endpoint("stream", str(path)))
    assert path.read_text() == "data"


def test_an_abstract_name_has_no_file(opened: Opened) -> None:
    name = f"\0gproxy-test-{os.getpid()}"
    opened(Endpoint("stream", name))
    assert can_connect(consts.AF_UNIX, name)
    with pytest.raises(OSError):
        opened(Endpoint("stream", name))
    remove_stale(name)


@pytest.mark.parametrize(
    ("endpoint", "text"),
    [
        (Endpoint("stream", LOOPBACK, 80), "127.0.0.1:80/tcp"), (Endpoint("packet", LOOPBACK6, 53), "[::1]:53/udp"),
        (Endpoint("stream", "/run/x"), "unix:/run/x"), (Endpoint("stream", "\0x"), "unix:@x"),
    ],
)  # fmt: skip
def test_how_they_are_written(endpoint: Endpoint, text: str) -> None:
    assert str(endpoint) == text
    assert endpoint.is_unix == text.startswith("unix:")


def test_equal_endpoints_are_one_key() -> None:
    assert {Endpoint("stream", LOOPBACK, 80): 1}[Endpoint("stream", IPv4Address("127.0.0.1"), 80)] == 1
    assert Endpoint("stream", LOOPBACK, 80) != Endpoint("stream", LOOPBACK, 80, tcp_fast_open=True)


PLAIN = Endpoint("stream", LOOPBACK, 80)


@pytest.mark.parametrize(
    ("changed", "follows"),
    [
        (replace(PLAIN, tcp_fast_open=True, keep_alive=KeepAlive(7, 5), routing_mark=3), True),
        (replace(PLAIN, port=81), False),
        (replace(PLAIN, kind="packet"), False),
        (replace(PLAIN, host=LOOPBACK6), False),
        (replace(PLAIN, bind_interface="lo"), False),
        (replace(PLAIN, tcp_multi_path=True), False),
    ],
)
def test_other_options_can_be_given_to_an_open_socket(changed: Endpoint, follows: bool) -> None:
    assert changed.follows(PLAIN) is PLAIN.follows(changed) is follows


def test_a_port_that_the_system_chooses_is_another_one_each_time() -> None:
    assert not Endpoint("stream", LOOPBACK).follows(Endpoint("stream", LOOPBACK))
    assert Endpoint("stream", "/run/socket", routing_mark=1).follows(Endpoint("stream", "/run/socket"))


def test_a_socket_has_the_options_of_its_endpoint_whichever_it_had_before(opened: Opened, tmp_path: Path) -> None:
    other = replace(PLAIN, port=free_port(), tcp_fast_open=True, keep_alive=KeepAlive(77, 11))
    plain = replace(PLAIN, port=other.port)
    sock = opened(plain)
    watched = [(consts.SOL_SOCKET, consts.SO_KEEPALIVE), (consts.IPPROTO_TCP, consts.TCP_FASTOPEN)]
    before = [option(sock, *each) for each in watched]
    other.reshape(sock)
    assert [bool(option(sock, *each)) for each in watched] == [True, True]
    assert option(sock, consts.IPPROTO_TCP, consts.TCP_KEEPIDLE) == 77
    plain.reshape(sock)
    assert [option(sock, *each) for each in watched] == before
    assert option(sock, consts.IPPROTO_TCP, consts.TCP_NODELAY)
    unix = Endpoint("stream", str(tmp_path / "sock"), keep_alive=KeepAlive(7, 5))
    unix.reshape(opened(unix))
    packets = Endpoint("packet", LOOPBACK, free_port())
    sock = opened(packets)
    replace(packets, reuse_addr=True).reshape(sock)
    assert option(sock, consts.SOL_SOCKET, consts.SO_REUSEADDR)


def test_what_was_settled_when_a_socket_was_bound_is_seen(opened: Opened, tmp_path: Path) -> None:
    plain = replace(PLAIN, port=free_port())
    sock = opened(plain)
    assert plain.is_settled(sock)
    assert not replace(plain, bind_interface="lo").is_settled(sock)
    assert not replace(plain, tcp_multi_path=True).is_settled(sock)
    unix = Endpoint("stream", str(tmp_path / "sock"))
    assert unix.is_settled(opened(unix))
