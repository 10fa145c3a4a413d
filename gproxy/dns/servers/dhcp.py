"""`dhcp`: the servers that the network names to those who join it, asked by datagrams.

A DHCPDISCOVER asks for an offer, which is never taken up: that names the servers and costs nobody an address.
"""

from __future__ import annotations

import socket as consts
from _socket import socket
from functools import partial
from os import urandom
from typing import Annotated, Final, NoReturn

from gproxy.base.clock import now
from gproxy.base.errors import DialError, ProtocolError
from gproxy.dns.iface import Ask, ServerWiring
from gproxy.dns.servers.asked import fail
from gproxy.dns.servers.interfaces import ethernet_address
from gproxy.dns.servers.resolvconf import Resolv
from gproxy.dns.servers.several import Several
from gproxy.net import sockopt
from gproxy.net.shared import SharedDial
from gproxy.route.surroundings import Watch
from gproxy.rt.deadline import deadline
from gproxy.rt.sockets import READ, Readiness, Timer
from gproxy.schema.groups import Dial, Item
from gproxy.schema.model import doc
from gproxy.schema.registry import Row
from gproxy.wire.dhcp import CLIENT_PORT, OFFER, SERVER_PORT, Told, encode_discover, read_answer

WAIT: Final = 5.0
"""Seconds for an offer; as in sing-box."""

LONGEST: Final = 3600.0
"""Seconds after which the network is asked again at the latest; as in sing-box."""

SHORTEST: Final = 60.0
"""Seconds after which it is asked again at the soonest, also when nobody answered and older servers still serve."""

_AGAIN: Final = 1.5  # seconds after which the question is sent once more
_LARGEST: Final = 2048
_EVERYBODY: Final = ("255.255.255.255", SERVER_PORT)


class DhcpOptions(Item, Dial):
    """The servers that the network names."""

    interface: Annotated[str, doc("Interface to ask on; that of the default route if empty.")] = ""


class DhcpServer:
    """See Server."""

    cacheable = True
    waits = True

    def __init__(self, options: DhcpOptions, wiring: ServerWiring) -> None:
        self._who = wiring.tag
        self._log = wiring.log
        self._interface = options.interface
        self._watch: Watch | None = None
        self._several = Several(wiring.via, wiring.lookup, wiring.tag)
        self._shared = SharedDial()
        self._known: Resolv | None = None
        self._known_on = ""
        self._until = 0.0

    def exchange(self, ask: Ask, /) -> bytes:
        """See Server."""
        return self._several.exchange(ask, self._servers())

    def knows(self, name: str, /) -> bool:
        """See Server: it is one for all names."""
        return False

    def searches(self) -> bool:
        """See Searching. The network is not asked for it."""
        return self._known is not None and bool(self._known.search)

    def close(self) -> None:
        """See Server."""
        self._several.close()
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()

    def _servers(self) -> Resolv:
        interface = self._interface or self._default()
        try:
            return self._shared.get(partial(self._fresh, interface), partial(self._renew, interface))
        except DialError as error:
            fail(self._who, error)

    def _fresh(self, interface: str) -> Resolv | None:
        return self._known if self._known_on == interface and now() < self._until else None

    def _renew(self, interface: str) -> Resolv:
        """Ask the network. What it said before counts on if it says nothing. Raises DialError."""
        try:
            told = discover(interface)
        except DialError as error:
            if self._known is None or self._known_on != interface:
                raise
            self._log.warning("DNS server %s: %s; asking those of before", self._who, error)
            self._until = now() + SHORTEST
            return self._known
        says = Resolv(servers=told.servers, search=told.search)
        if says != self._known:
            named = ", ".join(map(str, told.servers))
            self._log.info("DNS server %s: the network of %s names %s", self._who, interface, named)
            self._known = says
        self._known_on = interface
        self._until = now() + max(SHORTEST, min(told.lease or LONGEST, LONGEST))
        return self._known

    def _default(self) -> str:
        if self._watch is None:
            self._watch = Watch()
        self._watch.refresh()
        if not self._watch.now.default:
            fail(self._who, "there is no default route, so `interface` must say where to ask")
        return self._watch.now.default


def discover(interface: str) -> Told:
    """Ask the network of an interface who answers names there. Raises DialError."""
    mac = ethernet_address(interface)
    if not mac:
        _refuse(f"{interface} is no Ethernet interface of this machine")
    sock = _open(interface)
    readiness = Readiness(sock.fileno(), READ)
    transaction = int.from_bytes(urandom(4), "big")
    question = _Question(sock, encode_discover(transaction, mac))
    again = Timer(_AGAIN, question.send, repeat=True)
    try:
        question.send()
        with deadline(WAIT, DialError(f"no DHCP server answers on {interface}", reason="dns")):
            while True:
                told = _next(sock, readiness)
                if told is not None and told.transaction == transaction and told.kind == OFFER and told.servers:
                    return told
    finally:
        again.stop()
        readiness.close()
        sock.close()


class _Question:
    def __init__(self, sock: socket, message: bytes) -> None:
        self._sock = sock
        self._message = message

    def send(self) -> None:
        """Send it; one that can't be sent now is sent again."""
        try:
            self._sock.sendto(self._message, _EVERYBODY)
        except OSError:
            return


def _next(sock: socket, readiness: Readiness) -> Told | None:
    """The next answer; None for what is none."""
    while True:
        try:
            return read_answer(sock.recv(_LARGEST))
        except BlockingIOError:
            readiness.wait()
        except ProtocolError:
            return None
        except OSError as error:
            raise DialError(f"DHCP: {error.strerror or error}", reason="dns") from error


def _open(interface: str) -> socket:
    sock = socket(consts.AF_INET, consts.SOCK_DGRAM | consts.SOCK_NONBLOCK)
    try:
        sock.setsockopt(consts.SOL_SOCKET, consts.SO_REUSEADDR, 1)
        sock.setsockopt(consts.SOL_SOCKET, consts.SO_BROADCAST, 1)
        sockopt.bind_to_interface(sock, interface)
        sock.bind(("255.255.255.255", CLIENT_PORT))  # so that it is in nobody's way who has the port for all else
    except PermissionError:
        sock.close()
        _refuse(f"needs UDP port {CLIENT_PORT}: CAP_NET_BIND_SERVICE, and CAP_NET_RAW on older systems")
    except OSError as error:
        sock.close()
        _refuse(f"UDP port {CLIENT_PORT} can't be had on {interface}: {error.strerror or error}")
    return sock


def _refuse(why: str) -> NoReturn:
    raise DialError(f"DHCP: {why}", reason="dns")


SERVER = Row(DhcpOptions, DhcpServer)
