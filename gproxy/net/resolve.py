"""Names to addresses by the system's resolver, in native threads."""

from __future__ import annotations

import socket as consts
from _socket import getaddrinfo
from collections.abc import Iterable

from gproxy.base.address import IP, parse_ip
from gproxy.base.errors import DialError
from gproxy.base.session import Session, Strategy
from gproxy.rt.offload import offload_lookup


def resolve(domain: str, strategy: Strategy = "") -> tuple[IP, ...]:
    """The addresses of `domain`, in the order that the strategy and the system prefer; never none.

    Raises DialError with reason `dns`.
    """
    try:
        # Naming one kind of socket gives one row for each address. This is the system's own call, not the patched one.
        rows = offload_lookup(getaddrinfo, domain, None, 0, consts.SOCK_STREAM)
    except OSError as error:
        raise DialError(f"{domain}: {error.strerror or error}", reason="dns") from error
    addresses = order((parse_ip(str(row[4][0])) for row in rows), strategy)
    if not addresses:
        raise DialError(f"{domain}: no address of the wanted family", reason="dns")
    return addresses


def system_lookup(domain: str, session: Session) -> tuple[IP, ...]:
    """See Lookup: as the system says."""
    return resolve(domain)


def order(addresses: Iterable[IP], strategy: Strategy) -> tuple[IP, ...]:
    """Addresses without repetitions, with the families that `strategy` wants, the preferred one first."""
    found = tuple(dict.fromkeys(addresses))
    if not strategy:
        return found
    four = tuple(ip for ip in found if ip.version == 4)
    six = tuple(ip for ip in found if ip.version == 6)
    return {
        "prefer_ipv4": four + six,
        "prefer_ipv6": six + four,
        "ipv4_only": four,
        "ipv6_only": six,
    }[strategy]
