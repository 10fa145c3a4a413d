"""What the servers of `dns.servers` are asked with in tests, and ends that answer them as a test says."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address

from gproxy.base.address import IP, UNSPECIFIED, Address
from gproxy.base.errors import DialError, StreamClosed
from gproxy.base.iface import Connect, PacketConn, Stream
from gproxy.base.session import Session
from gproxy.dns.iface import Ask, ServerWiring
from gproxy.net.direct import SystemDialer
from gproxy.net.tcp import SocketOptions
from gproxy.net.udp import UdpConn, bind_udp
from gproxy.rt.group import Group
from gproxy.wire.dns.message import Edns, Message, Question, Record, make_query, parse
from tests.support.ports import free_port

LOOPBACK = IPv4Address("127.0.0.1")
SESSION = Session(7, "udp", "in", UNSPECIFIED, Address("asked.test", 443), user="somebody")
ADDRESS = IPv4Address("192.0.2.1")

DIALER = SystemDialer(SocketOptions(), connect_timeout=5, fallback_delay=0.3)


def ask(name: str, kind: int = 1) -> Ask:
    """A question as the resolver asks it."""
    return Ask(name, kind, make_query(name, kind, edns=Edns()), SESSION)


def reply(query: bytes, *addresses: IP, rcode: int = 0, truncated: bool = False) -> bytes:
    """An answer to a query, its question as it was written."""
    asked = parse(query)
    assert asked.question is not None
    records = tuple(Record(asked.question.name, asked.question.type, 60, ip.packed) for ip in addresses or (ADDRESS,))
    message = Message(asked.id, True, recursion_available=True, question=asked.question, rcode=rcode)
    message.truncated = truncated
    if not rcode and not truncated:
        message.answer = records
    encoded = message.encode()
    size = len(asked.question.name) + 2
    return encoded[:12] + query[12 : 12 + size] + encoded[12 + size :]


def expected(one: Ask, *addresses: IP) -> Message:
    """What the answer to a question is, when it has been read."""
    records = tuple(Record(one.name, one.type, 60, ip.packed) for ip in addresses or (ADDRESS,))
    question = Question(one.name, one.type)
    return Message(0, True, recursion_available=True, question=question, answer=records)


def wiring(
    connect: Connect | None = None, via: object = DIALER, lookup: Callable[[str, Session], tuple[IP, ...]] | None = None
) -> ServerWiring:
    """What a server is built with."""

    def nowhere(session: Session) -> Stream:
        raise DialError("no way", reason="refused")

    log = logging.getLogger("tests.dns")
    return ServerWiring("up", connect or nowhere, via, lookup or DIALER.lookup, {}, log)  # type: ignore[arg-type]


class UdpEnd:
    """A server at a port of loopback, which sends what `answers` makes of each datagram. It keeps what it was asked."""

    def __init__(self, answers: Callable[[bytes], list[bytes]], port: int | None = None) -> None:
        self.asked: list[tuple[bytes, Address]] = []
        self.answers = answers
        self.conn = UdpConn(bind_udp(LOOPBACK, free_port() if port is None else port))  # free for TCP as well
        self.address = self.conn.bound()

    def run(self) -> None:
        """Until it is closed."""
        while True:
            data, source = self.conn.recv_from()
            self.asked.append((bytes(data), source))
            for answer in self.answers(bytes(data)):
                self.conn.send_to(answer, source)


@contextmanager
def udp_end(answers: Callable[[bytes], list[bytes]]) -> Iterator[UdpEnd]:
    """Such a server, as a context."""
    end = UdpEnd(answers)
    with Group("tests") as group:
        group.spawn(end.run)
        yield end
        end.conn.close()


def frames(data: bytes) -> list[bytes]:
    """The messages of a stream."""
    found = []
    while data:
        size = int.from_bytes(data[:2], "big")
        found.append(data[2 : 2 + size])
        data = data[2 + size :]
    return found


def framed(message: bytes) -> bytes:
    """A message as a stream has it."""
    return len(message).to_bytes(2, "big") + message


def served(stream: Stream, answers: Callable[[bytes], bytes]) -> None:
    """Answer what comes on a stream, in whole messages, until it ends."""
    data = b""
    try:
        while piece := stream.recv():
            data += piece
            while len(data) >= 2 and len(data) >= 2 + int.from_bytes(data[:2], "big"):
                end = 2 + int.from_bytes(data[:2], "big")
                message, data = data[2:end], data[end:]
                stream.sendall(answers(message))
    except StreamClosed:
        return
    finally:
        stream.close()


class Proxied:
    """A dialer that is no socket of the system: what an outbound is to a server with a detour."""

    def __init__(self, make: Callable[[Address], PacketConn]) -> None:
        self.dialled: list[Address] = []
        self._make = make

    def dial(self, target: Address, session: Session) -> Stream:
        self.dialled.append(target)
        return DIALER.dial(target, session)

    def dial_packet(self, target: Address, session: Session) -> PacketConn:
        self.dialled.append(target)
        return self._make(target)
