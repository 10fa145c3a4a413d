"""Clients and servers for the tests of the room: what they say is written here by hand, apart from the product."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from ipaddress import IPv4Address

from gproxy.base.address import Address
from gproxy.base.errors import ProtocolError
from gproxy.base.iface import StreamEntrance
from gproxy.base.wiring import InboundWiring, OutboundWiring
from gproxy.protocol.trojan import INBOUND, OUTBOUND
from gproxy.protocol.trojan.options import TrojanInboundOptions, TrojanOutboundOptions
from gproxy.schema.model import read
from tests.support.dispatch import RecordingDispatcher
from tests.support.replays import no_replays

V4 = Address(IPv4Address("192.0.2.1"), 80)
NAME = Address("example.com", 443)
V4_BYTES = b"\x01\xc0\x00\x02\x01\x00\x50"
NAME_BYTES = b"\x03\x0bexample.com\x01\xbb"
USERS = [{"name": "one", "password": "pw1"}, {"name": "two", "password": "pw2"}]


def key(password: str = "pw1") -> bytes:
    """What a client says first."""
    return hashlib.sha224(password.encode()).hexdigest().encode() + b"\r\n"


def request(address: bytes = V4_BYTES, command: int = 1) -> bytes:
    """What it says then."""
    return bytes((command,)) + address + b"\r\n"


def packet(payload: bytes, address: bytes = V4_BYTES) -> bytes:
    """A datagram."""
    return address + len(payload).to_bytes(2, "big") + b"\r\n" + payload


def options(model, **tree):
    found = []
    made = read(model, {"type": "trojan", **tree}, (), found)
    assert not found, found
    return made


def make_inbound(dispatcher=None, straight=None, **tree):
    """An inbound as the assembly builds it. `straight` is where the others go."""
    dispatcher, straight = (each or RecordingDispatcher() for each in (dispatcher, straight))
    wiring = InboundWiring("in", dispatcher, None, no_replays(), logging.getLogger("test"), straight, branch)
    return INBOUND.build(options(TrojanInboundOptions, **{"users": USERS, **tree}), wiring)


def branch(accept, stream, session):
    """A stream of a link becomes a session, as a boundary sees to it."""
    session = dataclasses.replace(session, id=session.id + 1)
    try:
        accept(stream, session)
    except ProtocolError:
        stream.abort()
    finally:
        stream.close()


def accepting(dispatcher=None, straight=None, **tree):
    """Its accept."""
    [entrance] = make_inbound(dispatcher, straight, **tree).entrances()
    assert isinstance(entrance, StreamEntrance)
    return entrance.accept


def make_outbound(connect, **tree):
    """An outbound whose streams to the server come from `connect`."""
    tree = {"server": "192.0.2.9", "server_port": 443, "password": "pw1", **tree}
    wiring = OutboundWiring("out", connect, None, logging.getLogger("test"))
    return OUTBOUND.build(options(TrojanOutboundOptions, **tree), wiring)
