"""gproxy.protocol.socks.packets: the datagrams of UDP ASSOCIATE."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.base.address import UNSPECIFIED, Address
from gproxy.base.errors import StreamClosed
from gproxy.protocol.socks.packets import AssociatedClient, RelayedPackets
from gproxy.protocol.socks.wire import encode_datagram_head
from tests.support.packets import MemoryPackets
from tests.support.pipe import pipe

CLIENT = Address(IPv4Address("192.0.2.7"), 40000)
PORT, OTHER_PORT = Address(CLIENT.host, 5001), Address(CLIENT.host, 5002)
STRANGER = Address(IPv4Address("192.0.2.8"), 5001)
TARGET = Address(IPv4Address("198.51.100.1"), 53)
NAME, SIX = Address("example.com", 53), Address(IPv6Address("2001:db8::1"), 53)
RELAY = Address(IPv4Address("203.0.113.1"), 1081)


def packet(target, payload, fragment=0):
    head = encode_datagram_head(target)
    return head[:2] + bytes((fragment,)) + head[3:] + payload


def client(announced=UNSPECIFIED):
    conn = MemoryPackets()
    return conn, AssociatedClient(conn, CLIENT, announced)


def heard(conn):
    data, address = conn.recv_from()
    return bytes(data), address


@pytest.mark.parametrize("target", [TARGET, NAME, SIX])
@pytest.mark.parametrize("payload", [b"", b"x", b"y" * 65000])
def test_there_and_back(target, payload):
    conn, associated = client()
    conn.deliver(packet(target, payload), PORT)
    assert heard(associated) == (payload, target)
    associated.send_to(memoryview(payload), target)
    assert conn.sent == [(packet(target, payload), PORT)]


def test_answers_carry_the_address_that_they_are_from():
    conn, associated = client()
    conn.deliver(packet(TARGET, b"q"), PORT)
    heard(associated)
    for source in (TARGET, SIX, SIX, TARGET):
        associated.send_to(b"a", source)
    assert [data for data, _ in conn.sent] == [packet(source, b"a") for source in (TARGET, SIX, SIX, TARGET)]


def test_strangers_are_not_heard():
    conn, associated = client()
    conn.deliver(packet(TARGET, b"spoofed"), STRANGER)
    conn.deliver(packet(TARGET, b"mine"), PORT)
    assert heard(associated)[0] == b"mine"


def test_the_first_port_that_speaks_properly_is_the_clients():
    conn, associated = client()
    conn.deliver(b"garbage", OTHER_PORT)
    conn.deliver(packet(TARGET, b"one"), PORT)
    conn.deliver(packet(TARGET, b"late"), OTHER_PORT)
    conn.deliver(packet(TARGET, b"two"), Address(CLIENT.host, PORT.port))
    assert [heard(associated)[0] for _ in range(2)] == [b"one", b"two"]


@pytest.mark.parametrize("host", [CLIENT.host, IPv4Address(0), IPv6Address("::")])
def test_an_announced_port_is_the_only_one(host):
    conn, associated = client(Address(host, OTHER_PORT.port))
    associated.send_to(b"early", TARGET)
    assert conn.sent == [(packet(TARGET, b"early"), OTHER_PORT)]
    conn.deliver(packet(TARGET, b"wrong"), PORT)
    conn.deliver(packet(TARGET, b"right"), OTHER_PORT)
    assert heard(associated)[0] == b"right"


def test_what_a_client_behind_a_nat_says_about_itself_is_ignored():
    conn, associated = client(Address(IPv4Address("10.0.0.5"), OTHER_PORT.port))
    conn.deliver(packet(TARGET, b"q"), PORT)
    assert heard(associated)[0] == b"q"


def test_before_the_client_has_spoken_answers_are_lost():
    conn, associated = client()
    associated.send_to(b"early", TARGET)
    assert conn.sent == []


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\x00\x00\x00",
        packet(TARGET, b"x")[:9],
        packet(TARGET, b"x", fragment=1),
        packet(TARGET, b"x", fragment=0x80),
        b"\x00\x00\x00\x02" + bytes(20),
        b"\x00\x00\x00\x03\x00\x00\x35",
        b"\x00\x00\x00\x03\xffshort",
    ],
)
def test_what_is_no_datagram_is_dropped(bad):
    conn, associated = client()
    conn.deliver(bad, PORT)
    conn.deliver(packet(TARGET, b"good"), PORT)
    assert heard(associated) == (b"good", TARGET)

    conn, control = MemoryPackets(), pipe()[0]
    relayed = RelayedPackets(conn, RELAY, control)
    conn.deliver(bad, RELAY)
    conn.deliver(packet(TARGET, b"good"), RELAY)
    assert heard(relayed) == (b"good", TARGET)


@given(st.binary(max_size=300))
def test_any_datagram_is_understood_or_dropped(noise):
    conn, associated = client()
    conn.deliver(noise, PORT)
    conn.deliver(packet(TARGET, b"good"), PORT)
    data, address = heard(associated)
    assert noise.endswith(data) or (data, address) == (b"good", TARGET)


def test_relayed_there_and_back():
    conn, (control, _) = MemoryPackets(), pipe()
    relayed = RelayedPackets(conn, RELAY, control)
    for target in (NAME, TARGET, TARGET):
        relayed.send_to(b"q", target)
    assert conn.sent == [(packet(target, b"q"), RELAY) for target in (NAME, TARGET, TARGET)]
    conn.deliver(packet(SIX, b"a"), RELAY)
    assert heard(relayed) == (b"a", SIX)


def test_only_the_relay_is_heard():
    conn, (control, _) = MemoryPackets(), pipe()
    relayed = RelayedPackets(conn, RELAY, control)
    conn.deliver(packet(TARGET, b"spoofed"), Address(RELAY.host, 1082))
    conn.deliver(packet(TARGET, b"spoofed"), STRANGER)
    conn.deliver(packet(TARGET, b"good"), Address(RELAY.host, RELAY.port))
    assert heard(relayed)[0] == b"good"


def test_a_relay_known_by_its_domain_is_told_by_its_port():
    conn, (control, _) = MemoryPackets(), pipe()
    relayed = RelayedPackets(conn, Address("relay.example", 1081), control)
    conn.deliver(packet(TARGET, b"spoofed"), Address(RELAY.host, 1082))
    conn.deliver(packet(TARGET, b"good"), RELAY)
    assert heard(relayed)[0] == b"good"


def test_closing_ends_the_control_connection_too():
    conn, (control, server) = MemoryPackets(), pipe()
    relayed = RelayedPackets(conn, RELAY, control)
    relayed.close()
    relayed.close()
    assert server.recv() == b""
    with pytest.raises(StreamClosed):
        relayed.recv_from()
    with pytest.raises(StreamClosed):
        relayed.send_to(b"x", TARGET)


def test_the_end_of_the_control_connection_closes():
    conn, (control, server) = MemoryPackets(), pipe()
    relayed = RelayedPackets(conn, RELAY, control)
    server.sendall(b"nothing that matters")
    server.close_write()
    relayed.watch(control)
    assert conn.closed
    with pytest.raises(StreamClosed) as caught:
        relayed.recv_from()
    assert caught.value.reason == "eof"
