"""Plugins that are programs of their own, as SIP003 has them.

client side    us → 127.0.0.1:P, where the program listens (SS_LOCAL_*) → the server (SS_REMOTE_*)
server side    clients → where the program listens (SS_REMOTE_*) → 127.0.0.1:P, where we listen (SS_LOCAL_*)
"""

from __future__ import annotations

import contextlib
import os
import socket as consts
from _socket import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final, Literal

from gproxy.base.errors import DialError
from gproxy.base.iface import Stream
from gproxy.base.session import Session
from gproxy.net.tcp import SocketOptions, connect
from gproxy.rt.deadline import deadline
from gproxy.rt.sync import sleep

LOOPBACK: Final = IPv4Address("127.0.0.1")

# A program that has just been started does not listen yet: it is tried again after this, in seconds.
_AGAIN: Final = 0.05

# What the service manager tells gproxy, and no program that gproxy starts.
_NOT_THEIRS: Final = frozenset(
    ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
)

_LOWEST: Final = 10000
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


@dataclass(frozen=True, slots=True)
class Plugin:
    """A program that has to run. `port` is the loopback port between it and us."""

    owner: str  # whose plugin it is, for the log
    side: Literal["client", "server"]
    program: str
    options: str = field(repr=False)  # may hold secrets
    host: str
    host_port: int
    port: int

    def argv(self) -> list[str]:
        """The command line."""
        from shutil import which

        return [which(self.program) or self.program]

    def environment(self) -> dict[str, str]:
        """What the program is told."""
        told = {
            "SS_REMOTE_HOST": self.host,
            "SS_REMOTE_PORT": str(self.host_port),
            "SS_LOCAL_HOST": str(LOOPBACK),
            "SS_LOCAL_PORT": str(self.port),
        }
        if self.options:
            told["SS_PLUGIN_OPTIONS"] = self.options
        ours = {name: value for name, value in os.environ.items() if name not in _NOT_THEIRS}
        return {**ours, **told}


@dataclass(frozen=True, slots=True)
class Through:
    """Reaches the server through its program."""

    port: int
    patience: float  # seconds until the program must listen

    def connect(self, session: Session) -> Stream:
        """See Connect."""
        with deadline(self.patience, DialError("the plugin does not listen", reason="timeout")):
            while True:
                try:
                    return connect(LOOPBACK, self.port, _PLAIN)
                except DialError as error:
                    if error.reason != "refused":
                        raise
                sleep(_AGAIN)


_PLAIN = SocketOptions()


def unused_port(taken: set[int]) -> int:
    """A loopback port that nobody uses now, nor is in `taken`, where it is noted.

    Not one of those that the kernel gives to outgoing connections, if there are others: such a one could be in use
    whenever the program is started again. Raises OSError.
    """
    for port in _candidates():
        if port in taken:
            continue
        with contextlib.closing(socket(consts.AF_INET, consts.SOCK_STREAM)) as probe:
            try:
                probe.bind((str(LOOPBACK), port))
            except OSError:
                continue
            found: int = probe.getsockname()[1]
        if found not in taken:
            taken.add(found)
            return found
    raise OSError("no loopback port is free for a plugin")


def _candidates() -> Iterator[int]:
    lowest_given = int(_RANGE.read_text("ascii").split()[0]) if _RANGE.exists() else _LOWEST
    for _ in range(100):
        if lowest_given > _LOWEST + 1000:
            yield _LOWEST + int.from_bytes(os.urandom(4)) % (lowest_given - _LOWEST)
    for _ in range(100):
        yield 0
