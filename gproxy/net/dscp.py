"""The differentiated services code point of a client's packets (RFC 2474).

TCP tells that of the packet that completed the handshake, to whoever asks the accepted socket; UDP of each datagram.
"""

from __future__ import annotations

import os
import socket as consts
import sys
from _socket import CMSG_SPACE, socket
from collections.abc import Iterable

_IP_PKTOPTIONS = 9
_IP_RECVTOS = 13
_IPV6_2292PKTOPTIONS = 6
_ROOM = 128
_ORDER = sys.byteorder

ANCILLARY = CMSG_SPACE(4) * 2
"""How much room the code point needs beside a datagram."""


def of_connection(fd: int) -> int:
    """Of an accepted TCP connection; 0 for any other descriptor."""
    copy = os.dup(fd)
    try:
        sock = socket(fileno=copy)
    except OSError:  # a pipe
        os.close(copy)
        return 0
    try:
        six = sock.family == consts.AF_INET6 and not sock.getpeername()[0].startswith("::ffff:")
        if six:
            sock.setsockopt(consts.IPPROTO_IPV6, consts.IPV6_RECVTCLASS, 1)
            found = sock.getsockopt(consts.IPPROTO_IPV6, _IPV6_2292PKTOPTIONS, _ROOM)
        elif sock.family in {consts.AF_INET, consts.AF_INET6}:
            sock.setsockopt(consts.IPPROTO_IP, _IP_RECVTOS, 1)
            found = sock.getsockopt(consts.IPPROTO_IP, _IP_PKTOPTIONS, _ROOM)
        else:
            return 0
    except OSError:
        return 0
    finally:
        sock.close()
    return _in_control(found, six=six)


def _in_control(control: bytes, *, six: bool) -> int:
    """Among control messages as the kernel lays them out: length, level and type, and the value."""
    head = CMSG_SPACE(0)
    level, kind = (consts.IPPROTO_IPV6, consts.IPV6_TCLASS) if six else (consts.IPPROTO_IP, consts.IP_TOS)
    wanted = level.to_bytes(4, _ORDER) + kind.to_bytes(4, _ORDER)
    at = 0
    while at + head < len(control):
        length = int.from_bytes(control[at : at + head - 8], _ORDER)
        if not head <= length <= len(control) - at:
            break
        if control[at + head - 8 : at + head] == wanted:
            return _point(control[at + head : at + length])
        at += CMSG_SPACE(length - head)
    return 0


def hear(sock: socket) -> None:
    """Let a UDP socket tell it beside each datagram. Raises OSError."""
    if sock.family == consts.AF_INET6:
        sock.setsockopt(consts.IPPROTO_IPV6, consts.IPV6_RECVTCLASS, 1)
    sock.setsockopt(consts.IPPROTO_IP, _IP_RECVTOS, 1)


def of_datagram(ancillary: Iterable[tuple[int, int, bytes]]) -> int:
    """What `recvmsg` has given beside a datagram; 0 if it is not there."""
    for level, kind, value in ancillary:
        if (level, kind) in _CARRIED:
            return _point(value)
    return 0


_CARRIED = {(consts.IPPROTO_IP, consts.IP_TOS), (consts.IPPROTO_IPV6, consts.IPV6_TCLASS)}


def _point(value: bytes) -> int:
    """One octet for IPv4, a number of four for IPv6; the two lowest bits are those of congestion notification."""
    return (int.from_bytes(value[:4], _ORDER) & 0xFF) >> 2
