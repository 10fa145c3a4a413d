"""What the kernel says of a network interface (netdevice(7)), in the network namespace of who asks."""

from __future__ import annotations

import fcntl
import socket as consts
import sys
from _socket import socket
from typing import Final

_FLAGS: Final = 0x8913  # SIOCGIFFLAGS
_HARDWARE: Final = 0x8927  # SIOCGIFHWADDR
_UP, _LOOPBACK, _MULTICAST = 0x1, 0x8, 0x1000
_ETHERNET: Final = 1
_NAME: Final = 16  # octets of the request that are the name, the final zero among them
_REQUEST: Final = 40


def knows_multicast(interface: str) -> bool:
    """Whether it is up, knows multicast, and leads to others."""
    answer = _ask(_FLAGS, interface)
    flags = int.from_bytes(answer[_NAME : _NAME + 2], sys.byteorder)
    return flags & (_UP | _MULTICAST | _LOOPBACK) == _UP | _MULTICAST


def ethernet_address(interface: str) -> bytes:
    """Its MAC address; nothing if it is no Ethernet interface, or none at all."""
    answer = _ask(_HARDWARE, interface)
    kind, mac = int.from_bytes(answer[_NAME : _NAME + 2], sys.byteorder), answer[_NAME + 2 : _NAME + 8]
    return mac if kind == _ETHERNET and any(mac) else b""


def _ask(what: int, interface: str) -> bytes:
    """The kernel's answer; zeros if there is no such interface."""
    name = interface.encode("utf-8", "surrogateescape")
    if not 0 < len(name) < _NAME:
        return bytes(_REQUEST)
    sock = socket(consts.AF_INET, consts.SOCK_DGRAM)
    try:
        return bytes(fcntl.ioctl(sock.fileno(), what, name.ljust(_REQUEST, b"\0")))
    except OSError:
        return bytes(_REQUEST)
    finally:
        sock.close()
