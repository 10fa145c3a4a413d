from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from tests.support import ports
from tests.support.netns import NoNamespace, new_network
from tests.support.ports import LOOPBACK, free_port, listening


def test_ports_of_outside_are_free_inside() -> None:
    before = os.readlink("/proc/thread-self/ns/net")
    with socket.create_server((LOOPBACK, 0)) as outside:
        port = outside.getsockname()[1]
        try:
            with new_network():
                assert not listening(port)
                with socket.create_server((LOOPBACK, port)), socket.create_connection((LOOPBACK, port), 5):
                    assert listening(port)
        except NoNamespace as refused:
            pytest.skip(f"no network namespace: {refused}")
    assert os.readlink("/proc/thread-self/ns/net") == before


@pytest.mark.parametrize("asks", [True, False], ids=["asks", "reads"])
@pytest.mark.parametrize("host", [LOOPBACK, "::1"])
def test_listening_knows_both_networks(host: str, asks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not asks:  # as on a kernel without this
        monkeypatch.setattr(ports, "_SOCK_DIAG_BY_FAMILY", 99)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    port = free_port()
    assert not listening(port)
    assert not listening(port, "udp")
    with socket.create_server((host, port), family=family):
        assert listening(port)
        assert not listening(port, "udp")
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        udp.bind((host, port))
        assert listening(port, "udp")


def test_the_command_runs() -> None:
    argv = [sys.executable, "-m", "tests.support.netns", sys.executable, "-c", "print('ran')"]
    assert subprocess.run(argv, check=True, capture_output=True, text=True).stdout == "ran\n"
