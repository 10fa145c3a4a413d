"""Ports that nobody uses, and whether somebody listens on one."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import socket
import struct
import tempfile
from pathlib import Path
from typing import Literal

LOOPBACK = "127.0.0.1"
# Whose turn it is, for all processes that test on this machine.
_TURN = Path(tempfile.gettempdir(), f"gproxy-tests-ports.{os.getuid()}")

# sock_diag(7): what `ss` asks. /proc/net/tcp tells the same, but walks the machine's whole table of connections for it.
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_DUMP_REQUEST = 0x301
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port id
_QUESTION = struct.Struct("=BBBxI")  # family, protocol, extensions, states; then the socket's id
_ID = struct.Struct("!HH44x")  # source port, destination port; addresses, interface, cookie
_ERROR = struct.Struct("=i")
_STATES = {socket.IPPROTO_TCP: 10, socket.IPPROTO_UDP: 7}  # listening; open and not connected


def free_port() -> int:
    """A port free for TCP and UDP on loopback, which no test was given in a long while, in whichever process.

    It lies below those that the kernel gives to sockets without one: nothing else that runs here takes it meanwhile.
    """
    first, count = _range()
    with _TURN.open("a+b") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        turn.seek(0)
        place = int(turn.read() or str(random.randrange(count)))
        port = None
        while port is None:
            place = (place + 1) % count
            port = first + place if _is_free(first + place) else None
        turn.truncate(0)
        turn.write(str(place).encode())
    return port


def free_ports(count: int) -> list[int]:
    """So many of them."""
    return [free_port() for _ in range(count)]


def _range() -> tuple[int, int]:
    """The first of the ports to choose from, and how many there are."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()[0])
    first = 10_000
    return (first, lowest - first) if lowest - first >= 5_000 else (first, 50_000)


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as sock:
            try:
                sock.bind((LOOPBACK, port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    return False
                raise
    return True


def listening(port: int, network: Literal["tcp", "udp"] = "tcp") -> bool:
    """Whether a socket in this thread's network namespace listens on the port: the kernel is asked, nobody notices."""
    try:
        return _asked(port, socket.IPPROTO_TCP if network == "tcp" else socket.IPPROTO_UDP)
    except OSError:  # a kernel that can't be asked that, or knows no IPv6
        return _looked_up(port, network)


def _asked(port: int, protocol: int) -> bool:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
        return any(_has_port(kernel, family, protocol, port) for family in (socket.AF_INET, socket.AF_INET6))


def _has_port(kernel: socket.socket, family: int, protocol: int, port: int) -> bool:
    question = _QUESTION.pack(family, protocol, 0, 1 << _STATES[protocol]) + _ID.pack(port, 0)
    length = _HEADER.size + len(question)
    kernel.send(_HEADER.pack(length, _SOCK_DIAG_BY_FAMILY, _DUMP_REQUEST, 0, 0) + question)
    found = False
    while True:
        answers = kernel.recv(65536)
        while answers:
            length, kind, *_ = _HEADER.unpack_from(answers)
            if kind == _NLMSG_DONE:
                return found
            if kind == _NLMSG_ERROR:
                error = -_ERROR.unpack_from(answers, _HEADER.size)[0]
                raise OSError(error, os.strerror(error))
            found = True
            answers = answers[length:]


def _looked_up(port: int, network: str) -> bool:
    state = _STATES[socket.IPPROTO_TCP if network == "tcp" else socket.IPPROTO_UDP]
    for table in (network, network + "6"):
        path = Path("/proc/thread-self/net", table)
        if not path.exists():
            continue
        for line in path.read_text("ascii").splitlines()[1:]:
            _, local, _, its_state, *_ = line.split()
            if int(its_state, 16) == state and int(local.rpartition(":")[2], 16) == port:
                return True
    return False
