from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

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


def test_listening_knows_both_networks() -> None:
    port = free_port()
    assert not listening(port)
    assert not listening(port, "udp")
    with socket.create_server((LOOPBACK, port)):
        assert listening(port)
        assert not listening(port, "udp")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind((LOOPBACK, port))
        assert listening(port, "udp")


def test_the_command_runs() -> None:
    argv = [sys.executable, "-m", "tests.support.netns", sys.executable, "-c", "print('ran')"]
    assert subprocess.run(argv, check=True, capture_output=True, text=True).stdout == "ran\n"
