from __future__ import annotations

import struct
import subprocess
from ipaddress import ip_network

import pytest

from gproxy.net.netlink import Netlink
from gproxy.route.surroundings import Surroundings, Watch
from gproxy.wire import netlink as wire
from tests.support.clock import HeldClock
from tests.support.netns import own_network

__all__ = ["own_network"]


def run(*words: str) -> None:
    if subprocess.run(["ip", *words], capture_output=True, check=False).returncode:
        pytest.skip("no right to shape a network")


@pytest.mark.usefixtures("own_network")
def test_interfaces_and_the_one_that_leads_to_the_world(held_clock: HeldClock) -> None:
    watch = Watch()
    watch.refresh()
    assert watch.now.addresses["lo"] == [ip_network("127.0.0.0/8"), ip_network("::1/128")]
    assert watch.now.default == ""
    run("link", "add", "out", "type", "veth", "peer", "name", "far")
    run("link", "set", "out", "up")
    run("link", "set", "far", "up")
    run("addr", "add", "192.0.2.9/24", "dev", "out")
    run("route", "add", "default", "via", "192.0.2.1", "metric", "20")
    run("route", "add", "default", "dev", "far", "metric", "30")
    before = watch.now
    watch.refresh()
    assert watch.now is before  # it was read a moment ago
    held_clock.advance(0.3)
    watch.refresh()
    assert ip_network("192.0.2.0/24") in watch.now.addresses["out"]
    assert watch.now.default == "out"
    run("route", "del", "default", "via", "192.0.2.1")
    held_clock.advance(0.3)
    watch.refresh()
    assert watch.now.default == "far"
    now = watch.now
    held_clock.advance(60)
    watch.refresh()
    assert watch.now is now  # nothing has changed
    watch.close()


def test_what_cannot_be_read_stays_as_it_was(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    watch = Watch()
    watch.now = Surroundings({"eth0": ()}, "eth0")

    def refuse(*_: object) -> list[tuple[int, bytes]]:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(Netlink, "ask", refuse)
    watch.refresh()
    watch.refresh()
    assert watch.now.default == "eth0"
    assert [record.getMessage() for record in caplog.records] == [
        "the state of this machine's interfaces can't be read: Operation not permitted"
    ]
    watch.close()


class Radio:
    """A kernel with one wireless link, on which there is a network."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bssid = b"\2\0\0\0\0\1"
        self.asked = 0
        self.there = True

        def ask(netlink: Netlink, kind: int, flags: int, body: bytes) -> list[tuple[int, bytes]]:
            if kind == wire.CONTROL:
                if not self.there:
                    raise OSError(2, "No such file or directory")
                return [(wire.CONTROL, bytes(4) + wire.attribute(1, struct.pack("=H", 28)))]
            if kind != 28:
                return []
            self.asked += 1
            if body == wire.wireless_links():
                return [(28, bytes([7, 1, 0, 0]) + wire.attribute(3, struct.pack("=I", 4)))]
            assert body == wire.networks_of(4)
            inside = wire.attribute(1, self.bssid) + wire.attribute(6, b"\0\4Home") + wire.attribute(9, b"\1\0\0\0")
            around = wire.attribute(1, b"\2\0\0\0\0\7") + wire.attribute(6, b"\0\5Other")
            return [(28, bytes([34, 1, 0, 0]) + wire.attribute(47, each)) for each in (around, inside)]

        monkeypatch.setattr(Netlink, "ask", ask)


def test_the_wifi_network_that_this_machine_is_in(monkeypatch: pytest.MonkeyPatch, held_clock: HeldClock) -> None:
    radio = Radio(monkeypatch)
    watch = Watch()
    watch.refresh()
    assert radio.asked == 0  # nobody wants to know
    watch.refresh(wifi=True)
    assert watch.now.wifi == (wire.Wifi("Home", "02:00:00:00:00:01"),)
    radio.bssid = b"\2\0\0\0\0\2"
    watch.refresh(wifi=True)
    assert radio.asked == 2
    held_clock.advance(5)
    watch.refresh(wifi=True)
    assert watch.now.wifi == (wire.Wifi("Home", "02:00:00:00:00:02"),)
    watch.close()


def test_without_wifi_it_is_said_once(
    monkeypatch: pytest.MonkeyPatch, held_clock: HeldClock, caplog: pytest.LogCaptureFixture
) -> None:
    radio = Radio(monkeypatch)
    radio.there = False
    watch = Watch()
    for _ in range(3):
        watch.refresh(wifi=True)
        held_clock.advance(10)
    assert watch.now.wifi == ()
    assert len(caplog.records) == 1
    watch.close()
