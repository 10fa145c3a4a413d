"""Ports that nobody uses, and whether somebody listens on one."""

from __future__ import annotations

import errno
import socket
from pathlib import Path
from typing import Literal

LOOPBACK = "127.0.0.1"
_TCP_LISTEN = "0A"
_UDP_OPEN = "07"
_given: set[int] = set()


def free_port() -> int:
    """A port that is free for TCP and UDP on loopback, and that this process was not given before."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp:
            tcp.bind((LOOPBACK, 0))
            port: int = tcp.getsockname()[1]
            if port not in _given and _free_for_udp(port):
                _given.add(port)
                return port


def free_ports(count: int) -> list[int]:
    """So many of them."""
    return [free_port() for _ in range(count)]


def _free_for_udp(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        try:
            udp.bind((LOOPBACK, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def listening(port: int, network: Literal["tcp", "udp"] = "tcp") -> bool:
    """Whether a socket in this thread's network namespace listens on the port: the kernel is asked, nobody notices."""
    state = _TCP_LISTEN if network == "tcp" else _UDP_OPEN
    for table in (network, network + "6"):
        path = Path("/proc/thread-self/net", table)
        if not path.exists():  # a kernel without IPv6
            continue
        for line in path.read_text("ascii").splitlines()[1:]:
            _, local, _, its_state, *_ = line.split()
            if its_state == state and int(local.rpartition(":")[2], 16) == port:
                return True
    return False
