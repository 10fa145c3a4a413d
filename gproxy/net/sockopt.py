"""Socket options by their Linux numbers, where Python 3.11 has no name for them, applied from plain values."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket as consts
import struct
import sys
from _socket import socket
from collections.abc import Iterator
from dataclasses import dataclass

from gproxy.base.defaults import TCP_KEEP_ALIVE, TCP_KEEP_ALIVE_INTERVAL

SO_MARK = 36
IP_MTU_DISCOVER = 10
IPV6_MTU_DISCOVER = 23
PMTUDISC_WANT = 1
PMTUDISC_DO = 2
IP_BIND_ADDRESS_NO_PORT = 24
TCP_FASTOPEN_CONNECT = 30
IPPROTO_MPTCP = 262
_CLONE_NEWNET = 0x40000000

# struct tcp_info of linux/tcp.h: 8 octets, and then words, of which this is the fifth.
_UNACKED = slice(24, 28)


_CREDENTIALS = struct.Struct("=iII")  # struct ucred of unix(7): process, user, group


def peer_of(sock: socket) -> tuple[int, int]:
    """Who has connected to a unix socket, as the kernel noted then: the ids of the process and of its user.

    Raises OSError.
    """
    pid, user_id, _ = _CREDENTIALS.unpack(sock.getsockopt(consts.SOL_SOCKET, consts.SO_PEERCRED, _CREDENTIALS.size))
    return pid, user_id


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """TCP keep-alive: seconds of silence before the first probe, and between probes. None of them: no probes."""

    idle: int
    interval: int

    def apply(self, sock: socket) -> None:
        """Raises OSError."""
        sock.setsockopt(consts.SOL_SOCKET, consts.SO_KEEPALIVE, 1)
        sock.setsockopt(consts.IPPROTO_TCP, consts.TCP_KEEPIDLE, self.idle)
        sock.setsockopt(consts.IPPROTO_TCP, consts.TCP_KEEPINTVL, self.interval)


def keep_alive(disabled: bool, idle: float, interval: float) -> KeepAlive | None:
    """The keep-alive of these option values. 0 stands for the usual one; the kernel takes 1 to 32767 whole seconds."""
    return (
        None
        if disabled
        else KeepAlive(_whole_seconds(idle or TCP_KEEP_ALIVE), _whole_seconds(interval or TCP_KEEP_ALIVE_INTERVAL))
    )


def _whole_seconds(seconds: float) -> int:
    return max(1, min(32767, round(seconds)))


def bind_to_interface(sock: socket, interface: str) -> None:
    """Raises OSError, also when there is no such interface."""
    sock.setsockopt(consts.SOL_SOCKET, consts.SO_BINDTODEVICE, interface.encode() + b"\0")


def set_udp_fragment(sock: socket, family: int, allowed: bool) -> None:
    """Whether datagrams above the path's MTU are fragmented. Raises OSError."""
    value = PMTUDISC_WANT if allowed else PMTUDISC_DO
    if family == consts.AF_INET6:
        sock.setsockopt(consts.IPPROTO_IPV6, IPV6_MTU_DISCOVER, value)
    else:
        sock.setsockopt(consts.IPPROTO_IP, IP_MTU_DISCOVER, value)


def unacknowledged(fd: int) -> int:
    """How many segments of a TCP socket the peer has not acknowledged; 0 for any other descriptor."""
    sock = socket(fileno=os.dup(fd))
    try:
        info = sock.getsockopt(consts.IPPROTO_TCP, consts.TCP_INFO, _UNACKED.stop)
    except OSError:
        return 0
    finally:
        sock.close()
    return int.from_bytes(info[_UNACKED], sys.byteorder)


@contextlib.contextmanager
def network_namespace(name: str) -> Iterator[None]:
    """Make sockets inside the network namespace `name` (of `ip netns`) or at that path. Never wait inside.

    Raises OSError. It needs CAP_SYS_ADMIN, and moves only the calling thread, which comes back before anyone else runs.
    """
    path = name if "/" in name else f"/run/netns/{name}"
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            _setns(here)
    finally:
        os.close(here)


def _setns(fd: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, _CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
