"""Targets that a client from elsewhere has no business with: what only this machine, or its link, is to reach.

A proxy stands on the inside: to a service on the loopback address its clients look like this machine, and a cloud's
metadata service gives this machine's credentials to whoever asks. So these targets are refused to clients that are not
on this machine themselves, unless the configuration names them. It is looked at addresses, after names were resolved.
"""

from __future__ import annotations

import socket as consts
from _socket import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, ip_address, ip_network

from gproxy.base.address import IP, Address
from gproxy.base.errors import Denied
from gproxy.base.session import Session

_NETWORKS = tuple(
    ip_network(text)
    for text in (
        "127.0.0.0/8", "::1/128",  # loopback
        "0.0.0.0/8", "::/128",  # this host: Linux takes these for the loopback address
        "169.254.0.0/16", "fe80::/10",  # link-local, metadata services among them
    )
)  # fmt: skip
# Metadata services elsewhere: of Amazon by IPv6, Alibaba, Oracle.
_METADATA = frozenset(ip_address(text) for text in ("fd00:ec2::254", "100.100.100.200", "192.0.0.192"))


def is_inner(ip: IP) -> bool:
    """Whether an address is one of these."""
    return ip in _METADATA or any(ip in network for network in _NETWORKS if network.version == ip.version)


class Inner:
    """Guards them, and the ports where gproxy itself is ruled and watched, whatever address of this machine that is."""

    __slots__ = ("_ports",)

    def __init__(self, ports: Iterable[int] = ()) -> None:
        self._ports = frozenset(ports)

    def concerns(self, session: Session) -> bool:
        """Whether there is anything to look at: the client is elsewhere, and nobody has named his target."""
        host = session.source.host
        return not (session.dial.internal or isinstance(host, str) or host.is_loopback or host.is_unspecified)

    def check(self, ip: IP, port: int) -> None:
        """Raises Denied."""
        if is_inner(ip) or (port in self._ports and _is_ours(ip)):
            raise Denied(f"{Address(ip, port)} is for this machine alone", reason="target")

    def outer(self, addresses: Iterable[IP], port: int) -> tuple[IP, ...]:
        """Those of a name's addresses that may be reached. Raises Denied if there are none."""
        kept: list[IP] = []
        refused: Denied | None = None
        for ip in addresses:
            try:
                self.check(ip, port)
            except Denied as why:
                refused = why
            else:
                kept.append(ip)
        if not kept and refused is not None:
            raise refused
        return tuple(kept)


def _is_ours(ip: IP) -> bool:
    """Whether it is an address of this machine: nobody else can bind to it."""
    probe = socket(consts.AF_INET if type(ip) is IPv4Address else consts.AF_INET6, consts.SOCK_DGRAM)
    try:
        probe.bind((str(ip), 0))
    except OSError:
        return False
    finally:
        probe.close()
    return True
