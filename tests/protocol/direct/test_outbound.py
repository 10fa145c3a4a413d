"""gproxy.protocol.direct.outbound: the way out, with or without a PROXY header."""

from __future__ import annotations

import logging
from ipaddress import IPv4Address

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import DialError
from gproxy.base.wiring import OutboundWiring
from gproxy.protocol.direct import OUTBOUND
from gproxy.wire.cursor import Cursor
from gproxy.wire.proxyproto import decode_proxy_header
from tests.support.packets import MemoryPackets
from tests.support.pipe import pipe
from tests.support.playbook import new_session

pytestmark = pytest.mark.usefixtures("no_leaks")

LOCAL = Address(IPv4Address("192.0.2.80"), 8080)
TARGET = Address(IPv4Address("198.51.100.1"), 80)


class Via:
    """The dialer beneath."""

    def __init__(self, stream=None, conn=None):
        self.stream, self.conn, self.dialled = stream, conn, []

    def dial(self, target, session):
        self.dialled.append(target)
        return self.stream

    def dial_packet(self, target, session):
        self.dialled.append(target)
        return self.conn


def outbound(via, version=0):
    wiring = OutboundWiring("out", lambda session: None, via, logging.getLogger("test"))
    return OUTBOUND.build(OUTBOUND.options(type="direct", proxy_protocol=version), wiring)


def session():
    made = new_session()
    made.local = LOCAL
    return made


def test_without_a_header_the_stream_is_untouched():
    near, far = pipe()
    via = Via(near)
    assert outbound(via).dial(TARGET, session()) is near
    assert via.dialled == [TARGET]
    near.close()
    assert far.recv() == b""
    far.close()


@pytest.mark.parametrize("version", [1, 2])
def test_the_header_names_the_client_and_where_it_came_in(version):
    near, far = pipe()
    facts = session()
    outbound(Via(near), version).dial(TARGET, facts).close()
    raw = b""
    while piece := far.recv():
        raw += piece
    cursor = Cursor(raw)
    header = decode_proxy_header(cursor)
    assert (header.source, header.destination, cursor.left()) == (facts.source, LOCAL, 0)
    assert raw.startswith(b"PROXY TCP4 ") == (version == 1)
    far.close()


def test_a_target_that_hangs_up_before_the_header():
    near, far = pipe()
    far.abort()
    with pytest.raises(DialError):
        outbound(Via(near), 1).dial(TARGET, session())
    assert near.bare() is None


def test_datagrams():
    conn = MemoryPackets()
    via = Via(conn=conn)
    assert outbound(via, 2).dial_packet(TARGET, session()) is conn
    assert via.dialled == [TARGET]
