"""`mdns`: questions to all neighbours at once (RFC 6762), on this machine's networks.

It asks as a one-shot client does (section 5.1), from a port of its own, so that the answers come to this port alone and
repeat the question's id (section 6.7). Several neighbours may answer; what comes within a bounded time is put together.
"""

from __future__ import annotations

import socket as consts
import struct
from _socket import socket
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network
from os import urandom
from typing import Annotated, Final, NamedTuple

from gproxy.base.address import parse_ip
from gproxy.base.errors import ProtocolError
from gproxy.dns.iface import Ask, ServerWiring
from gproxy.dns.servers.asked import fail
from gproxy.dns.servers.interfaces import knows_multicast
from gproxy.route.surroundings import Watch
from gproxy.rt.sockets import READ, Gate, Readiness, Timer
from gproxy.schema.groups import Dial, Item
from gproxy.schema.model import doc, fields_of
from gproxy.schema.registry import Row
from gproxy.wire.dns import types
from gproxy.wire.dns.message import Message, Question, Record, make_query, parse

PORT: Final = 5353
GROUPS: Final = {4: "224.0.0.251", 6: "ff02::fb"}

WAIT: Final = 1.0
"""Seconds in which neighbours answer; as in sing-box."""

GRACE: Final = 0.1
"""Seconds after the first answer about something that one neighbour alone has; others may still say the same."""

AGAIN: Final = 0.3
"""Seconds without an answer after which the question is sent once more."""

_MOST_ANSWERS: Final = 256  # datagrams that are looked at
_MOST_RECORDS: Final = 256
_LARGEST: Final = 9000  # RFC 6762 section 17
_MOST_SOCKETS: Final = 64
_SHARED: Final = frozenset({types.PTR, types.ANY})  # which many neighbours may have
_UNIQUE: Final = 0x8000  # in a record's class: all that there is
_NSEC: Final = 47
_ZONES: Final = (
    "local", "254.169.in-addr.arpa", "8.e.f.ip6.arpa", "9.e.f.ip6.arpa", "a.e.f.ip6.arpa", "b.e.f.ip6.arpa",
)  # fmt: skip

_IP_MULTICAST_TTL, _IP_MULTICAST_IF = 33, 32
_IPV6_MULTICAST_HOPS, _IPV6_MULTICAST_IF = 18, 17
_HOPS: Final = 255

Prefix = IPv4Network | IPv6Network


class MdnsOptions(Item, Dial):
    """The neighbours, who answer for names below `local`."""

    interface: Annotated[
        tuple[str, ...], doc("Interfaces to ask on; if empty, all that are up and know multicast, but for loopback.")
    ] = ()

    def check(self) -> Iterator[tuple[str, str]]:
        """Nothing is dialled."""
        yield from super().check()
        for name, field in fields_of(Dial).items():
            if getattr(self, name) != field.default:
                yield name, "has no effect: neighbours are asked by multicast, on `interface`"


def is_local(name: str) -> bool:
    """Whether neighbours answer for this name: those below `local`, and of addresses of a link alone."""
    return any(name == zone or name.endswith(f".{zone}") for zone in _ZONES)


class _Network(NamedTuple):
    """One interface with one of the two families."""

    interface: str
    version: int
    prefixes: Sequence[Prefix]


class Multicast:
    """Asks the neighbours."""

    def __init__(self, interfaces: Sequence[str], who: str) -> None:
        """Without interfaces it asks on all that there are."""
        self._wanted = frozenset(interfaces)
        self._who = who
        self._watch: Watch | None = None

    def exchange(self, ask: Ask) -> bytes:
        """What they say. Raises DialError if nobody says anything."""
        networks = list(self._networks())
        if not networks:
            fail(self._who, "no interface to ask neighbours on")
        asking = _Asking(ask)
        try:
            asking.run(networks[:_MOST_SOCKETS])
        finally:
            asking.close()
        answer = asking.answer()
        if answer is None:
            fail(self._who, f"no neighbour answers for {ask.name}")
        return answer

    def close(self) -> None:
        """Forget the networks. Idempotent."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()

    def _networks(self) -> Iterator[_Network]:
        if self._watch is None:
            self._watch = Watch()
        self._watch.refresh()
        for interface, prefixes in self._watch.now.addresses.items():
            if (self._wanted and interface not in self._wanted) or not knows_multicast(interface):
                continue
            for version in (4, 6):
                its = [prefix for prefix in prefixes if prefix.version == version]
                if its:
                    yield _Network(interface, version, its)


class _Asking:
    """One question, on all networks at once."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._number = urandom(2)
        self._message = self._number + make_query(ask.name, ask.type, recursion_desired=False)[2:]
        self._open: list[tuple[socket, Readiness, _Network]] = []
        self._gate = Gate()
        self._timers: list[Timer] = []
        self._answers: dict[Record, None] = {}
        self._more: dict[Record, None] = {}
        self._none = False  # a neighbour has said that there is no such record
        self._looked_at = 0

    def run(self, networks: Sequence[_Network]) -> None:
        """Ask, and hear what comes."""
        for network in networks:
            try:
                sock = _socket_for(network)
            except OSError:  # the interface has gone since
                continue
            readiness = Readiness(sock.fileno(), READ)
            self._open.append((sock, readiness, network))
            readiness.call(_Arrival(self, sock, network))
        self._timers = [Timer(WAIT, self._gate.open), Timer(AGAIN, self._send)]
        self._send()
        self._gate.wait()

    def _send(self) -> None:
        if self._answers or self._none:
            return
        for sock, _, network in self._open:
            try:
                sock.sendto(self._message, (GROUPS[network.version], PORT))
            except OSError:  # this network is of no use now
                continue

    def hear(self, sock: socket, network: _Network) -> None:
        """In the hub: a datagram has come."""
        try:
            data, source = sock.recvfrom(_LARGEST)
        except OSError:
            return
        self._looked_at += 1
        if self._looked_at > _MOST_ANSWERS:
            self._gate.open()
            return
        if source[1] == PORT and _is_neighbour(source[0], network) and data[:2] in (self._number, b"\0\0"):
            self._read(data)

    def _read(self, data: bytes) -> None:
        try:
            message = parse(data)
        except ProtocolError:
            return
        if not message.response or message.opcode or message.rcode or len(self._answers) > _MOST_RECORDS:
            return
        before = len(self._answers)
        for record in map(_plain, message.answer + message.additional):
            if record.name == self._ask.name and self._is_answer(record):
                self._answers[record] = None
            elif record.name == self._ask.name and record.type == _NSEC:
                self._none = True
            elif len(self._more) < _MOST_RECORDS:
                self._more[record] = None
        if (len(self._answers) > before or self._none) and self._ask.type not in _SHARED and len(self._timers) < 3:
            self._timers.append(Timer(GRACE, self._gate.open))

    def _is_answer(self, record: Record) -> bool:
        return record.type in (self._ask.type, types.CNAME) or self._ask.type == types.ANY

    def answer(self) -> bytes | None:
        """What has been said; None for nothing."""
        if not self._answers and not self._none:
            return None
        message = Message(
            response=True,
            authoritative=True,
            recursion_available=True,
            question=Question(self._ask.name, self._ask.type),
            answer=tuple(self._answers),
            additional=tuple(self._more) if self._answers else (),
        )
        return message.encode()

    def close(self) -> None:
        """Leave nothing open."""
        for timer in self._timers:
            timer.stop()
        for sock, readiness, _ in self._open:
            readiness.close()
            sock.close()
        self._open.clear()


class _Arrival:
    """What a socket calls when something has come."""

    __slots__ = ("_asking", "_network", "_sock")

    def __init__(self, asking: _Asking, sock: socket, network: _Network) -> None:
        self._asking = asking
        self._sock = sock
        self._network = network

    def __call__(self) -> None:
        self._asking.hear(self._sock, self._network)


def _is_neighbour(text: str, network: _Network) -> bool:
    """Whether an address is one of this network's: anybody else's answer counts nothing (section 11)."""
    ip = parse_ip(text)
    return ip.is_link_local or any(ip in prefix for prefix in network.prefixes)


def _plain(record: Record) -> Record:
    """Without the bit that only caches of neighbours understand."""
    return record._replace(cls=record.cls & ~_UNIQUE)


def _socket_for(network: _Network) -> socket:
    """Raises OSError."""
    index = consts.if_nametoindex(network.interface)
    four = network.version == 4
    sock = socket(consts.AF_INET if four else consts.AF_INET6, consts.SOCK_DGRAM | consts.SOCK_NONBLOCK)
    try:
        if four:
            sock.setsockopt(consts.IPPROTO_IP, _IP_MULTICAST_TTL, _HOPS)
            sock.setsockopt(consts.IPPROTO_IP, _IP_MULTICAST_IF, struct.pack("=4s4si", bytes(4), bytes(4), index))
        else:
            sock.setsockopt(consts.IPPROTO_IPV6, _IPV6_MULTICAST_HOPS, _HOPS)
            sock.setsockopt(consts.IPPROTO_IPV6, _IPV6_MULTICAST_IF, index)
    except OSError:
        sock.close()
        raise
    return sock


class MdnsServer:
    """See Server."""

    cacheable = True
    waits = True

    def __init__(self, options: MdnsOptions, wiring: ServerWiring) -> None:
        self._multicast = Multicast(options.interface, wiring.tag)

    def exchange(self, ask: Ask, /) -> bytes:
        """See Server."""
        return self._multicast.exchange(ask)

    def knows(self, name: str, /) -> bool:
        """See Server."""
        return is_local(name)

    def close(self) -> None:
        """See Server."""
        self._multicast.close()


SERVER = Row(MdnsOptions, MdnsServer)
