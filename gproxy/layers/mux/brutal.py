"""TCP Brutal: a socket that sends at a fixed rate, whatever is lost on the way. The kernel needs a module for it."""

from __future__ import annotations

import socket as consts
import struct
from typing import Final

from gproxy.base.iface import Stream
from gproxy.net.beneath import socket_beneath

_PARAMETERS: Final = 23301  # the module's own socket option
_RATE_AND_GAIN: Final = struct.Struct("=QI")
_GAIN: Final = 20  # the congestion window is twice what the rate needs, in tenths

_AVAILABLE: Final = "/proc/sys/net/ipv4/tcp_available_congestion_control"

MISSING: Final = "this kernel has no TCP Brutal: install its module `tcp-brutal`"


def kernel_has_brutal() -> bool:
    """Whether the module is loaded. A process that may load modules finds it all the same."""
    try:
        with open(_AVAILABLE) as file:
            return "brutal" in file.read().split()
    except OSError:
        return False


def set_rate(stream: Stream, rate: int) -> str:
    """Let the socket beneath the stream send `rate` octets per second; why that is not possible, if it is not."""
    sock = socket_beneath(stream)
    if sock is None:
        return "TCP Brutal: this link has no connection of its own"
    try:
        sock.set_option(consts.IPPROTO_TCP, consts.TCP_CONGESTION, b"brutal")
        sock.set_option(consts.IPPROTO_TCP, _PARAMETERS, _RATE_AND_GAIN.pack(rate, _GAIN))
    except OSError as error:
        return f"{MISSING} ({error.strerror})"
    return ""
