from __future__ import annotations

import os
import socket

import pytest

from gproxy.net import dscp

EF = 46 << 2
MARKED = [("127.0.0.1", socket.IPPROTO_IP, socket.IP_TOS), ("::1", socket.IPPROTO_IPV6, socket.IPV6_TCLASS)]


def accepted(host: str, level: int, option: int, listen: str = "") -> tuple[socket.socket, ...]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.AF_INET6 if ":" in (listen or host) else socket.AF_INET
    server = socket.create_server((listen or host, 0), family=listening, dualstack_ipv6=listen == "::")
    client = socket.socket(family)
    client.setsockopt(level, option, EF | 1)  # the lowest bits are congestion's
    client.connect((host, server.getsockname()[1]))
    return server.accept()[0], client, server


@pytest.mark.parametrize(("host", "level", "option"), MARKED)
def test_a_connection_is_marked_by_its_client(host: str, level: int, option: int) -> None:
    ours, *rest = accepted(host, level, option)
    assert dscp.of_connection(ours.fileno()) == 46
    assert dscp.of_connection(rest[0].fileno()) == 0  # ours answers without a mark
    for each in (ours, *rest):
        each.close()


def test_a_client_of_ipv4_where_both_families_are_heard() -> None:
    ours, *rest = accepted(*MARKED[0], listen="::")
    assert dscp.of_connection(ours.fileno()) == 46
    for each in (ours, *rest):
        each.close()


def test_what_is_no_connection_has_no_mark() -> None:
    near, far = socket.socketpair()
    assert dscp.of_connection(near.fileno()) == 0
    near.close()
    far.close()
    reading, writing = os.pipe()
    assert dscp.of_connection(reading) == 0
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize(("host", "level", "option"), MARKED)
def test_a_datagram_carries_its_mark(host: str, level: int, option: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as server, socket.socket(family, socket.SOCK_DGRAM) as client:
        server.bind((host, 0))
        dscp.hear(server)
        client.setsockopt(level, option, EF)
        client.sendto(b"x", server.getsockname())
        assert dscp.of_datagram(server.recvmsg(10, dscp.ANCILLARY)[1]) == 46
        client.setsockopt(level, option, 0)
        client.sendto(b"x", server.getsockname())
        assert dscp.of_datagram(server.recvmsg(10, dscp.ANCILLARY)[1]) == 0


def test_without_a_mark_there_is_none() -> None:
    assert dscp.of_datagram([]) == 0
    assert dscp.of_datagram([(socket.SOL_SOCKET, 1, b"\xff")]) == 0


def test_control_messages_that_break_off() -> None:
    assert dscp._in_control(b"", six=False) == 0
    assert dscp._in_control(bytes(64), six=False) == 0
    assert dscp._in_control(b"\xff" * 30, six=True) == 0
