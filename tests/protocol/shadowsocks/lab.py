"""Clients and servers for the tests of the room: what they say is made by the wire modules, or by hand."""

from __future__ import annotations

import base64
import logging
import os
from ipaddress import IPv4Address

from gproxy.base.address import Address
from gproxy.base.iface import StreamEntrance
from gproxy.base.wiring import InboundWiring, OutboundWiring
from gproxy.protocol.shadowsocks import INBOUND, OUTBOUND
from gproxy.protocol.shadowsocks.options import ShadowsocksInboundOptions, ShadowsocksOutboundOptions
from gproxy.protocol.shadowsocks.wire.methods import METHODS
from gproxy.schema.model import read
from gproxy.wire.socksaddr import encode_address
from tests.support.dispatch import RecordingDispatcher
from tests.support.replays import no_replays

V4 = Address(IPv4Address("192.0.2.1"), 80)
NAME = Address("example.com", 443)
METHODS_NOW = (
    "aes-128-gcm", "aes-192-gcm", "aes-256-gcm", "chacha20-ietf-poly1305", "xchacha20-ietf-poly1305",
    "2022-blake3-aes-128-gcm", "2022-blake3-aes-256-gcm", "2022-blake3-chacha20-poly1305",
)  # fmt: skip


def secret(method: str, seed: int = 1) -> str:
    """A password that is right for the method."""
    if not method.startswith("2022"):
        return f"password {seed}"
    return base64.b64encode(bytes((seed,)) * (16 if "128" in method else 32)).decode()


RETIRED = tuple(name for name, method in METHODS.items() if method.kind == "stream")


def options(model, **tree):
    found = []
    if tree["method"] in RETIRED:
        tree["legacy"] = True
    made = read(model, {"type": "shadowsocks", **tree}, (), found)
    assert not found, found
    return made


def make_inbound(dispatcher=None, replays=None, **tree):
    """An inbound as the assembly builds it."""
    dispatcher = dispatcher or RecordingDispatcher()
    wiring = InboundWiring("in", dispatcher, None, replays or no_replays(), logging.getLogger("test"), dispatcher)
    return INBOUND.build(options(ShadowsocksInboundOptions, **tree), wiring)


def door(inbound):
    """Its accept for streams."""
    [entrance] = [each for each in inbound.entrances() if isinstance(each, StreamEntrance)]
    return entrance.accept


def make_outbound(connect, **tree):
    """An outbound whose streams to the server come from `connect`."""
    tree = {"server": "192.0.2.9", "server_port": 8388, **tree}
    wiring = OutboundWiring("out", connect, None, logging.getLogger("test"))
    return OUTBOUND.build(options(ShadowsocksOutboundOptions, **tree), wiring)


def first_words(target=V4, payload=b"hello", **tree) -> bytes:
    """What a client with these options sends first: everything up to the payload."""
    from tests.support.pipe import pipe
    from tests.support.playbook import new_session

    near, far = pipe()
    outbound = make_outbound(lambda session: near, **tree)
    stream = outbound.dial(target, new_session())
    stream.sendall(payload)
    return far.recv()


__all__ = [
    "METHODS_NOW",
    "NAME",
    "RETIRED",
    "V4",
    "door",
    "encode_address",
    "first_words",
    "make_inbound",
    "make_outbound",
    "os",
    "secret",
]
