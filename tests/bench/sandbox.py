"""Where the bench runs: a network of its own when it may, room for many descriptors, no orphans."""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import signal
import socket
import struct
from contextlib import ExitStack

_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1
_PR_SET_PDEATHSIG = 1

# Loaded before any fork: a child between fork and exec must not load libraries.
_libc = ctypes.CDLL(None, use_errno=True)


def own_network() -> bool:
    """Move this process into a new network namespace with only a loopback; False if it may not."""
    if os.geteuid() != 0 or _libc.unshare(_CLONE_NEWNET) != 0:
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", _IFF_UP))
    return True


def many_descriptors(wanted: int) -> int:
    """Raise the soft limit of open files to `wanted`, or as near as allowed; return the limit now in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    elif soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
        except ValueError:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends: even a killed bench leaves nothing behind."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def free_ports(count: int) -> list[int]:
    """That many different loopback ports that nobody uses at this moment, neither for TCP nor for UDP."""
    ports: list[int] = []
    with ExitStack() as probes:  # all stay bound till the end: a closed one would be handed out again
        while len(ports) < count:
            stream = probes.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            packets = probes.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            stream.bind(("127.0.0.1", 0))
            try:
                packets.bind(stream.getsockname())
            except OSError:
                continue  # taken for UDP: the next one
            ports.append(stream.getsockname()[1])
    return ports
