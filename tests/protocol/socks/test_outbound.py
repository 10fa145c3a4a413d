"""gproxy.protocol.socks.outbound: the test is the SOCKS server."""

from __future__ import annotations

import logging
import re
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.base.address import Address
from gproxy.base.errors import DialError
from gproxy.base.wiring import OutboundWiring
from gproxy.protocol.socks import OUTBOUND, outbound
from gproxy.protocol.socks.options import SocksOutboundOptions
from gproxy.schema.fields import Port, Secret
from gproxy.schema.groups import UdpOverTcp
from gproxy.wire.uot import Frame, Request, encode_frame, encode_request
from tests.support.packets import MemoryPackets
from tests.support.pipe import pipe
from tests.support.playbook import converse, new_session
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")

SERVER = Address("proxy.example", 1080)
V4, V6 = Address(IPv4Address("192.0.2.1"), 80), Address(IPv6Address("2001:db8::1"), 53)
NAME = Address("example.com", 443)
RELAY = Address(IPv4Address("198.51.100.1"), 5000)
CONNECT_V4 = b"\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50"
CONNECT_NAME = b"\x05\x01\x00\x03\x0bexample.com\x01\xbb"
YES = b"\x05\x00\x00\x01" + bytes(6)
ASSOCIATE, ASSOCIATED = b"\x05\x03\x00\x01" + bytes(6), b"\x05\x00\x00\x01\xc6\x33\x64\x01\x13\x88"


class Beneath:
    """What dials beneath the outbound."""

    def __init__(self, error=None):
        self.error = error
        self.conn = MemoryPackets()
        self.relays = []

    def dial(self, target, session):
        raise AssertionError("the server is reached through `connect`")

    def dial_packet(self, target, session):
        if self.error is not None:
            raise self.error
        self.relays.append(target)
        return self.conn


def make(stream, via=None, lookup=None, **options):
    options = SocksOutboundOptions(type="socks", server=SERVER.host, server_port=Port(SERVER.port), **options)
    connect = stream if callable(stream) else lambda session: stream
    log = logging.getLogger("test")
    return OUTBOUND.build(options, OutboundWiring("out", connect, via or Beneath(), log, lookup))


def dialing(target, session=None, chunk=0, **options):
    return converse(lambda stream: make(stream, **options).dial(target, session or new_session()), chunk=chunk)


def declined(talk, reason="declined"):
    """The dial has failed like this, and the server is left."""
    error = talk.error()
    assert isinstance(error, DialError), error
    assert error.reason == reason
    talk.ended()
    return str(error)


# -- SOCKS5 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [0, 1])
def test_connect(chunk):
    talk = dialing(V4, chunk=chunk) << b"\x05\x01\x00" >> b"\x05\x00" << CONNECT_V4 >> YES + b"early"
    stream = talk.result()
    assert b"".join(iter_until(stream, 5)) == b"early"  # what came with the reply is not lost
    stream.sendall(b"payload")
    talk << b"payload"


def iter_until(stream, size):
    heard = 0
    while heard < size:
        data = stream.recv()
        heard += len(data)
        yield data


def test_domains_are_the_servers_business():
    (dialing(NAME) << b"\x05\x01\x00" >> b"\x05\x00" << CONNECT_NAME >> YES).result()


def test_password():
    talk = dialing(V4, username="u", password=Secret("pw1")) << b"\x05\x01\x02" >> b"\x05\x02" << b"\x01\x01u\x03pw1"
    (talk >> b"\x01\x00" << CONNECT_V4 >> YES).result()


def test_a_server_that_needs_no_password_after_all():
    talk = dialing(V4, username="u", password=Secret("pw1")) << b"\x05\x01\x02" >> b"\x05\x00" << CONNECT_V4 >> YES
    talk.result()


def test_a_wrong_password_is_not_told():
    talk = dialing(V4, username="u", password=Secret("pw1")) << b"\x05\x01\x02" >> b"\x05\x02" << b"\x01\x01u\x03pw1"
    assert "pw1" not in declined(talk >> b"\x01\x01")


@pytest.mark.parametrize("method", [b"\x02", b"\x01", b"\xff"])
def test_a_server_that_wants_something_else(method):
    declined(dialing(V4) << b"\x05\x01\x00" >> b"\x05" + method)


@pytest.mark.parametrize(
    ("code", "reason"),
    [(1, "declined"), (2, "declined"), (3, "unreachable"), (4, "unreachable"), (5, "refused"), (6, "timeout")],
)
def test_refusals(code, reason):
    talk = dialing(V4) << b"\x05\x01\x00" >> b"\x05\x00" << CONNECT_V4 >> bytes((5, code))
    declined(talk, reason)
    talk.ended()


@pytest.mark.parametrize("answer", [b"\x04\x00", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00"])
def test_a_server_that_speaks_something_else(answer):
    talk = dialing(V4) << b"\x05\x01\x00" >> answer
    declined(talk.end())


@pytest.mark.parametrize("size", range(len(b"\x05\x00" + YES)))
def test_a_server_that_leaves_at_any_octet(size):
    talk = dialing(V4) << b"\x05\x01\x00" >> (b"\x05\x00" + YES)[:size]
    if size >= 2:
        talk << CONNECT_V4
    declined(talk.end())


def test_a_server_that_breaks_off():
    declined((dialing(V4) << b"\x05\x01\x00").abort())


def test_a_bad_address_in_the_reply():
    declined(dialing(V4) << b"\x05\x01\x00" >> b"\x05\x00" << CONNECT_V4 >> b"\x05\x00\x00\x09" + bytes(6))


def test_a_server_that_is_too_slow(monkeypatch):
    monkeypatch.setattr(outbound, "HANDSHAKE_TIMEOUT", 0.02)
    talk = dialing(V4) << b"\x05\x01\x00" >> b"\x05"
    declined(talk, "timeout")


@given(st.binary(max_size=60))
def test_any_answer_ends_in_a_stream_or_a_dial_error(noise):
    near, far = pipe()
    far.sendall(noise)
    far.close_write()
    try:
        make(near).dial(V4, new_session())
    except DialError:
        assert near.closed
    near.close()


def test_a_server_that_is_not_there():
    def connect(session):
        raise DialError("nobody listens", reason="refused")

    with pytest.raises(DialError) as caught:
        make(connect).dial(V4, new_session())
    assert caught.value.reason == "refused"


# -- SOCKS4 and 4a -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["4", "4a"])
@pytest.mark.parametrize("chunk", [0, 1])
def test_socks4(version, chunk):
    talk = dialing(V4, version=version, username="me", chunk=chunk) << b"\x04\x01\x00\x50\xc0\x00\x02\x01me\x00"
    stream = (talk >> b"\x00\x5a" + bytes(6) + b"early").result()
    assert b"".join(iter_until(stream, 5)) == b"early"


@pytest.mark.parametrize("target", [NAME, V6])
def test_socks4a_sends_names_and_texts(target):
    raw = b"\x04\x01" + target.port.to_bytes(2, "big") + b"\x00\x00\x00\x01\x00" + str(target.host).encode() + b"\x00"
    (dialing(target, version="4a") << raw >> b"\x00\x5a" + bytes(6)).result()


@pytest.mark.parametrize("code", [91, 92, 93, 0])
def test_socks4_refusals(code):
    talk = dialing(V4, version="4") << b"\x04\x01\x00\x50\xc0\x00\x02\x01\x00" >> b"\x00" + bytes((code,)) + bytes(6)
    declined(talk)


def test_socks4_carries_no_ipv6():
    declined(dialing(V6, version="4"), "unreachable")


def test_socks4_takes_the_addresses_that_a_rule_has_resolved():
    session = new_session()
    session.target, session.addresses = NAME, (V6.host, V4.host)
    (dialing(NAME, session, version="4") << b"\x04\x01\x01\xbb\xc0\x00\x02\x01\x00" >> b"\x00\x5a" + bytes(6)).result()


def test_socks4_resolves_the_others():
    asked = []

    def lookup(domain, session):
        asked.append(domain)
        return V6.host, V4.host

    talk = dialing(NAME, version="4", lookup=lookup)
    (talk << b"\x04\x01\x01\xbb\xc0\x00\x02\x01\x00" >> b"\x00\x5a" + bytes(6)).result()
    assert asked == ["example.com"]


def test_socks4_tries_one_address_after_the_other():
    streams = []

    def connect(session):
        near, far = pipe()
        far.sendall(b"\x00" + (b"\x5a" if streams else b"\x5b") + bytes(6))
        streams.append(near)
        return near

    session = new_session()
    session.target, session.addresses = NAME, (IPv4Address("192.0.2.5"), V4.host)
    stream = make(connect, version="4").dial(NAME, session)
    assert [one.closed for one in streams] == [True, False]
    stream.close()


# -- UDP ---------------------------------------------------------------------------------------------------------------


def associating(via, **options):
    return converse(lambda stream: make(stream, via, **options).dial_packet(NAME, new_session()))


def test_associate():
    via = Beneath()
    talk = associating(via) << b"\x05\x01\x00" >> b"\x05\x00" << ASSOCIATE >> ASSOCIATED
    conn = talk.result()
    assert via.relays == [RELAY]
    conn.send_to(b"q", NAME)
    assert via.conn.sent == [(b"\x00\x00\x00\x03\x0bexample.com\x01\xbbq", RELAY)]
    conn.close()
    talk.ended()
    assert via.conn.closed


@pytest.mark.parametrize("bound", [b"\x01" + bytes(4), b"\x04" + bytes(16), b"\x03\x09elsewhere"])
def test_a_reply_without_an_address_means_the_server_itself(bound):
    via = Beneath()
    talk = associating(via) << b"\x05\x01\x00" >> b"\x05\x00" << ASSOCIATE >> b"\x05\x00\x00" + bound + b"\x13\x88"
    talk.result().close()
    assert via.relays == [Address(SERVER.host, 5000)]


def test_the_end_of_the_control_connection_ends_the_datagrams():
    via = Beneath()
    talk = associating(via) << b"\x05\x01\x00" >> b"\x05\x00" << ASSOCIATE >> ASSOCIATED
    talk.result()
    assert not via.conn.closed
    talk.end()
    wait_until(lambda: via.conn.closed, "still open")


def test_a_server_without_udp():
    via = Beneath()
    talk = associating(via) << b"\x05\x01\x00" >> b"\x05\x00" << ASSOCIATE >> b"\x05\x07\x00\x01" + bytes(6)
    assert "command not supported" in declined(talk)
    assert via.relays == []


def test_a_server_that_names_no_port():
    via = Beneath()
    declined(associating(via) << b"\x05\x01\x00" >> b"\x05\x00" << ASSOCIATE >> YES)
    assert via.relays == []


def test_no_way_to_the_relay_closes_the_control_connection():
    near, far = pipe()
    far.sendall(b"\x05\x00" + ASSOCIATED)
    with pytest.raises(DialError):
        make(near, Beneath(DialError("no UDP here", reason="declined"))).dial_packet(NAME, new_session())
    assert near.closed


@pytest.mark.parametrize("version", ["4", "4a"])
def test_only_version_5_carries_udp(version):
    with pytest.raises(DialError):
        make(pipe()[0], version=version).dial_packet(NAME, new_session())


@pytest.mark.parametrize(
    ("version", "network", "carried"),
    [
        ("5", (), {"tcp", "udp"}),
        ("5", ("udp",), {"udp"}),
        ("5", ("tcp",), {"tcp"}),
        ("4", (), {"tcp"}),
        ("4a", (), {"tcp"}),
    ],
)
def test_networks(version, network, carried):
    assert make(pipe()[0], version=version, network=network).networks == carried


@pytest.mark.parametrize(
    ("over_tcp", "host", "request_"),
    [
        (True, b"sp.v2.udp-over-tcp.arpa", encode_request(Request(False, NAME))),
        (UdpOverTcp(enabled=True, version=1), b"sp.udp-over-tcp.arpa", b""),
    ],
)
def test_datagrams_on_a_stream(over_tcp, host, request_):
    def run(stream):
        return make(stream, udp_over_tcp=over_tcp).dial_packet(NAME, new_session())

    connect = b"\x05\x01\x00\x03" + bytes((len(host),)) + host + b"\x00\x00"
    talk = converse(run) << b"\x05\x01\x00" >> b"\x05\x00" << connect >> YES
    conn = talk.result()
    conn.send_to(b"q", NAME)
    talk << request_ + encode_frame(Frame(NAME, b"q")) >> encode_frame(Frame(V4, b"a"))
    assert conn.recv_from() == (b"a", V4)
    conn.close()
    talk.ended()


def test_datagrams_on_a_stream_that_the_server_refuses():
    def run(stream):
        return make(stream, udp_over_tcp=True).dial_packet(NAME, new_session())

    talk = converse(run) << b"\x05\x01\x00" >> b"\x05\x00" << re.compile(b"\x05\x01\x00\x03.*", re.DOTALL)
    declined(talk >> b"\x05\x02")


def test_version_4a_carries_datagrams_on_a_stream():
    assert make(pipe()[0], version="4a", udp_over_tcp=True).networks == {"tcp", "udp"}
