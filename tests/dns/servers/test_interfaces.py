"""gproxy.dns.servers.interfaces, of interfaces that there are and that there aren't; tests/interop has real ones."""

from __future__ import annotations

import fcntl

import pytest

from gproxy.dns.servers import interfaces
from gproxy.dns.servers.interfaces import ethernet_address, knows_multicast

pytestmark = pytest.mark.usefixtures("no_leaks")

MAC = bytes.fromhex("02005e001122")


def says(monkeypatch, number, data=bytes(6)):
    def ioctl(fd, what, request):
        assert request[:5] == b"eth0\0"
        return request[:16] + number.to_bytes(2, "little") + data + request[24:]

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    monkeypatch.setattr(interfaces.sys, "byteorder", "little")


@pytest.mark.parametrize("name", ["none0", "", "x" * 16, "../../etc", "lo"])
def test_interfaces_of_no_use(name):
    assert not knows_multicast(name)
    assert ethernet_address(name) == b""


@pytest.mark.parametrize(("flags", "good"), [(0x1003, True), (0x1002, False), (0x3, False), (0x1009, False)])
def test_flags(monkeypatch, flags, good):
    says(monkeypatch, flags)
    assert knows_multicast("eth0") is good


@pytest.mark.parametrize(("kind", "mac", "found"), [(1, MAC, MAC), (772, MAC, b""), (1, bytes(6), b"")])
def test_hardware(monkeypatch, kind, mac, found):
    says(monkeypatch, kind, mac)
    assert ethernet_address("eth0") == found
