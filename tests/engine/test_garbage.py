"""Sessions leave nothing for the garbage collector, which is why it is let look so rarely (gproxy.proc.heap)."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gproxy.app.build import House, build
from gproxy.app.data import DataPlane
from gproxy.app.messages import Serve, Stop, Stopped
from gproxy.base.address import Address, parse_ip
from gproxy.config.load import Source, load_sources
from gproxy.config.root import read_root
from gproxy.net.tcp import SocketOptions, connect
from gproxy.observe.sink import Sink
from gproxy.proc.local import LocalChannel
from gproxy.proc.slots import Slots
from gproxy.rt.group import Group
from tests.support.origin import tcp_echo
from tests.support.ports import free_port
from tests.support.wait import wait_until

HERE = parse_ip("127.0.0.1")


@contextmanager
def serving(port: int) -> Iterator[House]:
    document = {"inbounds": [{"type": "mixed", "listen": "127.0.0.1", "listen_port": port}]}
    house = build(read_root(load_sources([Source("test.json", json.dumps(document), "json")])))
    slots = Slots()
    slots.open(door.endpoint for door in house.doors)
    channel = LocalChannel()
    plane = DataPlane(house, {each: dict(enumerate(slots.of(each))) for each in slots.endpoints()}, Sink())
    with Group("plane") as group:
        group.spawn(plane.serve, channel)
        channel.order(Serve())
        channel.hear()
        channel.hear()
        yield house
        channel.order(Stop(0))
        while not isinstance(channel.hear(), Stopped):
            pass
    slots.close()


def session(port: int, target: Address) -> None:
    stream = connect(HERE, port, SocketOptions())
    stream.sendall(b"\x05\x01\x00")
    assert stream.recv() == b"\x05\x00"
    assert not isinstance(target.host, str)
    stream.sendall(b"\x05\x01\x00\x01" + target.host.packed + target.port.to_bytes(2, "big"))
    assert stream.recv()[:2] == b"\x05\x00"
    stream.sendall(b"ping")
    assert stream.recv() == b"ping"
    stream.close()


@pytest.mark.usefixtures("no_leaks")
def test_sessions_leave_no_cycles() -> None:
    port = free_port()
    with tcp_echo() as echo, serving(port) as house:
        target = Address(HERE, echo.port)
        session(port, target)
        wait_until(lambda: not len(house.table), "the first session goes on")
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                session(port, target)
            wait_until(lambda: not len(house.table), "sessions go on")
            assert gc.collect() < 20
        finally:
            gc.enable()
