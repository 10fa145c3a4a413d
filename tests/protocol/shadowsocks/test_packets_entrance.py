"""gproxy.protocol.shadowsocks.packets_entrance: client and server together, over real sockets, with every method."""

from __future__ import annotations

import random
from ipaddress import IPv6Address

import pytest

from gproxy.base.address import Address
from tests.protocol.shadowsocks.lab import make_inbound, secret
from tests.protocol.shadowsocks.packet_lab import AES_2022, ALL, TARGET, Dialer, heard, make_client, packet_door, served

pytestmark = pytest.mark.usefixtures("no_leaks")

CONTENT = random.Random(4).randbytes(65_507)
NAME, SIX = Address("example.com", 53), Address(IPv6Address("2001:db8::1"), 443)


@pytest.mark.parametrize("method", ALL)
def test_every_method_there_and_back(method):
    with served(method=method, password=secret(method)) as server:
        conn = make_client(Dialer(), server.address, method=method, password=secret(method))
        for target in (TARGET, NAME, SIX, NAME):
            for size in (0, 1, 1200, 1472, 9000, 60_000):
                conn.send_to(CONTENT[:size], target)
                assert heard(conn) == (CONTENT[:size], target)
        conn.close()
    assert server.begun == 1


@pytest.mark.parametrize("method", [*AES_2022, "aes-128-gcm", "xchacha20-ietf-poly1305"])
def test_every_users_client_is_known_by_name(method):
    modern = method.startswith("2022")
    users = [{"name": f"user {n}", "password": secret(method, n)} for n in (2, 3, 4)]
    server_key = {"password": secret(method, 1)} if modern else {}
    with served(method=method, users=users, **server_key) as server:
        for n in (4, 2, 3, 4):
            password = f"{secret(method, 1)}:{secret(method, n)}" if modern else secret(method, n)
            conn = make_client(Dialer(), server.address, method=method, password=password)
            conn.send_to(b"it is me", TARGET)
            assert heard(conn) == (b"it is me", TARGET)
            assert server.dispatcher.sessions[-1].user == f"user {n}"
            conn.close()


@pytest.mark.parametrize("method", ALL)
def test_the_largest_payload_passes_and_a_larger_one_is_lost(method):
    with served(method=method, password=secret(method)) as server:
        conn = make_client(Dialer(), server.address, method=method, password=secret(method))
        conn.send_to(b"", TARGET)
        heard(conn)
        # An answer has the longest head: of the 2022 edition, 24 or 16 octets, 19 more, an IPv4 address, and the tag.
        largest = 65_507 - 24 - 16 - 19 - 7 - 16
        conn.send_to(CONTENT[:largest], TARGET)
        assert heard(conn)[0] == CONTENT[:largest]
        conn.send_to(CONTENT, TARGET)
        conn.send_to(b"the next one", TARGET)
        assert heard(conn)[0] == b"the next one"
        conn.close()


@pytest.mark.parametrize("network", [("tcp",), ("udp",), ()])
def test_packets_are_taken_where_they_are_wanted(network):
    inbound = make_inbound(method="aes-128-gcm", password="x", network=list(network))
    kinds = {entrance.kind for entrance in inbound.entrances()}
    assert kinds == ({"stream", "packet"} if not network else {"stream" if network == ("tcp",) else "packet"})
    if "packet" in kinds:
        assert packet_door(inbound).admit is not None
