"""gproxy.route.neighbour, with the kernel's answers laid out by hand; tests/interop asks a real one."""

from __future__ import annotations

import errno
import struct

import pytest

from gproxy.base.address import parse_ip
from gproxy.net.netlink import Netlink
from gproxy.route.neighbour import Neighbours
from gproxy.wire import netlink as wire
from tests.support.clock import HeldClock

CLIENT = parse_ip("192.0.2.7")
MAC = "02:00:00:00:00:07"


def neighbour(ip: str = "192.0.2.7", mac: str = MAC) -> tuple[int, bytes]:
    head = struct.pack("=BxxxiHBB", 2, 3, 2, 0, 1)
    values = wire.attribute(1, parse_ip(ip).packed), wire.attribute(2, bytes.fromhex(mac.replace(":", "")))
    return wire.NEW_NEIGHBOUR, head + b"".join(values)


ROUTE = wire.NEW_ROUTE, struct.pack("=BBBBBBBBI", 2, 32, 0, 0, 254, 0, 0, 1, 0) + wire.attribute(4, b"\3\0\0\0")


class Kernel:
    """Answers by what is asked, and remembers that."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answers: dict) -> None:
        self.asked: list[tuple[int, int]] = []

        def ask(netlink: Netlink, kind: int, flags: int, body: bytes) -> list[tuple[int, bytes]]:
            self.asked.append((kind, flags))
            answer = answers[kind, flags]
            if isinstance(answer, int):
                raise OSError(answer, "no")
            return answer

        monkeypatch.setattr(Netlink, "ask", ask)


def test_a_neighbour_is_asked_for_on_the_link_that_leads_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    one = {(wire.GET_ROUTE, wire.REQUEST): [ROUTE], (wire.GET_NEIGHBOUR, wire.REQUEST): [neighbour()]}
    kernel = Kernel(monkeypatch, one)
    assert Neighbours().mac(CLIENT) == MAC
    assert kernel.asked == list(one)


@pytest.mark.parametrize("answer", [errno.ENOENT, [], [neighbour("192.0.2.8")], [(wire.NEW_NEIGHBOUR, b"x")]])
def test_one_that_is_not_known(monkeypatch: pytest.MonkeyPatch, answer) -> None:
    Kernel(monkeypatch, {(wire.GET_ROUTE, wire.REQUEST): [ROUTE], (wire.GET_NEIGHBOUR, wire.REQUEST): answer})
    assert Neighbours().mac(CLIENT) == ""


@pytest.mark.parametrize("answer", [errno.ENETUNREACH, [], [(wire.NEW_ROUTE, b"x")]])
def test_a_client_to_whom_nothing_leads(monkeypatch: pytest.MonkeyPatch, answer) -> None:
    Kernel(monkeypatch, {(wire.GET_ROUTE, wire.REQUEST): answer})
    assert Neighbours().mac(CLIENT) == ""


def test_nobody_is_asked_about_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    Kernel(monkeypatch, {})
    assert Neighbours().mac(parse_ip("127.0.0.1")) == Neighbours().mac(parse_ip("::1")) == ""


def test_a_kernel_that_only_tells_all(monkeypatch: pytest.MonkeyPatch, held_clock: HeldClock) -> None:
    every = wire.GET_NEIGHBOUR, wire.DUMP
    kernel = Kernel(
        monkeypatch,
        {
            (wire.GET_ROUTE, wire.REQUEST): [ROUTE],
            (wire.GET_NEIGHBOUR, wire.REQUEST): errno.EOPNOTSUPP,
            every: [neighbour("192.0.2.8", "02:00:00:00:00:08"), neighbour(), (wire.NEW_NEIGHBOUR, b"x")],
        },
    )
    neighbours = Neighbours()
    assert neighbours.mac(CLIENT) == MAC
    assert neighbours.mac(parse_ip("192.0.2.8")) == "02:00:00:00:00:08"
    assert kernel.asked.count(every) == 1
    held_clock.advance(3)
    neighbours.mac(CLIENT)
    assert kernel.asked.count(every) == 2
