"""gproxy.protocol.direct.inbound: a tunnel."""

from __future__ import annotations

import logging
from ipaddress import IPv4Address

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import DialError
from gproxy.base.iface import PacketEntrance, StreamEntrance
from gproxy.base.session import Session
from gproxy.base.wiring import InboundWiring
from gproxy.protocol.direct import INBOUND
from tests.support.dispatch import RecordingDispatcher
from tests.support.packets import MemoryPackets
from tests.support.playbook import CLIENT, new_session, play
from tests.support.replays import no_replays

pytestmark = pytest.mark.usefixtures("no_leaks")

LOCAL = Address(IPv4Address("192.0.2.80"), 8080)
TARGET = Address(IPv4Address("198.51.100.1"), 53)


def tunnel(dispatcher, **options):
    wiring = InboundWiring("in", dispatcher, lambda session: None, no_replays(), logging.getLogger("test"), dispatcher)
    return INBOUND.build(INBOUND.options(type="direct", **options), wiring)


def session():
    made = new_session()
    made.local = LOCAL
    return made


@pytest.mark.parametrize(
    ("options", "target"),
    [
        ({"override_address": "198.51.100.1", "override_port": 53}, TARGET),
        ({"override_address": "peer.test", "override_port": 53}, Address("peer.test", 53)),
        ({"override_address": "peer.test"}, Address("peer.test", 8080)),
        ({"override_port": 53}, Address(LOCAL.host, 53)),
        ({}, LOCAL),
    ],
)
def test_where_it_leads(options, target):
    dispatcher = RecordingDispatcher()
    (play(tunnel(dispatcher, **options).accept, session()) >> b"payload" << b"payload").end().closed()
    assert dispatcher.session.target == target


def test_a_refused_client_gets_a_reset():
    dispatcher = RecordingDispatcher(error=DialError("no", reason="refused"))
    aborted = []

    class Client:
        def abort(self):
            aborted.append(True)

    tunnel(dispatcher).accept(Client(), session())
    assert aborted == [True]


def test_datagrams_go_to_the_one_target_and_answers_come_back():
    dispatcher, conn = RecordingDispatcher(), MemoryPackets()
    conn.deliver(b"one", LOCAL)
    conn.deliver(b"", LOCAL)
    conn.closed = True  # it ends when it is empty
    facts = Session(id=1, network="udp", inbound="in", source=CLIENT, target=LOCAL, local=LOCAL)
    sent_to = []
    conn.send_to = lambda data, to, /: sent_to.append((bytes(data), to))  # type: ignore[method-assign]
    tunnel(dispatcher, override_address="198.51.100.1", override_port=53).accept_packets(conn, facts)
    assert dispatcher.datagrams == [(b"one", TARGET), (b"", TARGET)]
    assert sent_to == [(b"one", TARGET), (b"", TARGET)]
    assert facts.target == TARGET


@pytest.mark.parametrize(
    ("network", "kinds"),
    [
        ((), [StreamEntrance, PacketEntrance]),
        (("tcp",), [StreamEntrance]),
        (("udp",), [PacketEntrance]),
        (("tcp", "udp"), [StreamEntrance, PacketEntrance]),
    ],
)
def test_its_doors(network, kinds):
    assert [type(door) for door in tunnel(RecordingDispatcher(), network=network).entrances()] == kinds
