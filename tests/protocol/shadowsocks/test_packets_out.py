"""gproxy.protocol.shadowsocks.packets_out: the client side."""

from __future__ import annotations

import os

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import DialError
from gproxy.protocol.shadowsocks.wire.methods import METHODS
from gproxy.protocol.shadowsocks.wire.packets2022 import answer_head, make_format, make_sealer
from gproxy.wire.socksaddr import encode_address
from tests.protocol.shadowsocks.lab import secret
from tests.protocol.shadowsocks.packet_lab import ALL, SEALED, SERVER, TARGET, Dialer, heard, make_client
from tests.support.packets import MemoryPackets

pytestmark = pytest.mark.usefixtures("no_leaks")

MODERN = tuple(name for name in SEALED if name.startswith("2022"))
SOURCE = encode_address(TARGET)


class Playing:
    """A client, and the server that a test plays for it."""

    def __init__(self, method, server=SERVER, seed=1):
        self.conn = MemoryPackets()
        self.dialer = Dialer(self.conn)
        self.method = METHODS[method]
        self.key = bytes((seed,)) * self.method.key_size
        self.client = make_client(self.dialer, server, method=method, password=secret(method))
        self.server = server

    def session(self) -> bytes:
        """The client's session id."""
        self.client.send_to(b"", TARGET)
        form = make_format(self.method, self.key)
        return form.begin(self.conn.sent.pop()[0])[0][:8]

    def sealer(self, session=None):
        """The server's, of a session of its own."""
        return make_sealer(self.method, [self.key], session or os.urandom(8))

    def hear(self, packet, source=None):
        """Let a packet come to the client."""
        self.conn.deliver(packet, source or self.server)

    def dropped(self):
        return dict(self.client._dropped.counts)


def answer(sealer, session, payload=b"answer"):
    return sealer.seal(answer_head(session, SOURCE, len(payload)), SOURCE, payload)


@pytest.mark.parametrize("method", ALL)
def test_all_goes_to_the_server(method):
    playing = Playing(method)
    for target in (TARGET, Address.parse("example.com:1")):
        playing.client.send_to(b"payload", target)
    assert [to for _, to in playing.conn.sent] == [SERVER, SERVER]
    assert playing.dialer.asked == [SERVER]


@pytest.mark.parametrize("method", ["none", "aes-128-gcm"])
def test_only_the_server_is_heard(method):
    playing = Playing(method)
    playing.client.send_to(b"from elsewhere", TARGET)
    packet = playing.conn.sent.pop()[0]
    playing.hear(packet, Address(SERVER.host, 1))
    playing.hear(packet, Address.parse("192.0.2.8:8388"))
    playing.hear(packet, Address(SERVER.host, SERVER.port))
    assert heard(playing.client) == (b"from elsewhere", TARGET)
    assert not playing.conn._inbox


def test_a_server_known_by_its_domain_is_told_by_its_port():
    playing = Playing("none", Address("server.example", 8388))
    playing.client.send_to(b"payload", TARGET)
    packet = playing.conn.sent.pop()[0]
    playing.hear(packet, Address.parse("192.0.2.8:1"))
    playing.hear(packet, Address.parse("192.0.2.8:8388"))
    assert heard(playing.client)[0] == b"payload"
    assert not playing.conn._inbox


@pytest.mark.parametrize("method", SEALED)
def test_garbage_and_beginnings_are_dropped(method):
    playing = Playing(method)
    if method in MODERN:
        session = playing.session()
        packet = answer(playing.sealer(), session)
    else:
        playing.client.send_to(b"answer", TARGET)
        packet = playing.conn.sent.pop()[0]
    for end in range(len(packet)):
        playing.hear(packet[:end])
    playing.hear(os.urandom(300))
    playing.hear(packet)
    assert heard(playing.client) == (b"answer", TARGET)
    assert sum(playing.dropped().values()) == len(packet) + 1
    assert set(playing.dropped()) == {"auth", "protocol"}


def test_names_that_do_not_fit_and_payloads_that_do_not():
    playing = Playing("aes-128-gcm")
    with pytest.raises(DialError):
        playing.client.send_to(b"payload", Address("x" * 256, 1))
    for size in (65_535, 65_508, 65_507):
        playing.client.send_to(bytes(size), TARGET)
    assert playing.conn.sent == []
    assert playing.dropped() == {"limit": 3}


@pytest.mark.parametrize("method", MODERN)
def test_each_answer_is_taken_once(method):
    playing = Playing(method)
    session, sealer = playing.session(), playing.sealer()
    packets = [answer(sealer, session, b"%d" % n) for n in range(4)]
    for number in (0, 2, 2, 1, 0, 3):
        playing.hear(packets[number])
    assert [heard(playing.client)[0] for _ in range(4)] == [b"0", b"2", b"1", b"3"]
    assert playing.dropped() == {"replay": 2}


@pytest.mark.parametrize("method", MODERN)
def test_answers_must_be_for_this_session_and_of_this_time(method, held_clock):
    playing = Playing(method)
    session, sealer = playing.session(), playing.sealer()
    playing.hear(answer(sealer, os.urandom(8)))  # another client's
    early = answer(sealer, session, b"as late as can be")
    late = answer(sealer, session)
    held_clock.advance(30)
    playing.hear(early)
    assert heard(playing.client)[0] == b"as late as can be"
    held_clock.advance(1)
    playing.hear(late)
    playing.client.send_to(b"our own packet, reflected", TARGET)
    playing.hear(playing.conn.sent.pop()[0])
    playing.hear(answer(sealer, session, b"good"))
    assert heard(playing.client)[0] == b"good"
    assert playing.dropped() == {"protocol": 2, "protocol-time": 1}


@pytest.mark.parametrize("method", MODERN)
def test_a_server_that_was_restarted_is_heard_together_with_the_one_before(method, held_clock):
    playing = Playing(method)
    session = playing.session()
    first, second, third = playing.sealer(), playing.sealer(), playing.sealer()

    def say(sealer, payload):
        packet = answer(sealer, session, payload)
        playing.hear(packet)
        return packet

    old = say(first, b"first")
    say(second, b"second")
    playing.hear(old)
    say(third, b"too soon")
    say(first, b"first, late")
    assert [heard(playing.client)[0] for _ in range(3)] == [b"first", b"second", b"first, late"]
    held_clock.advance(59)
    say(third, b"too soon")
    say(second, b"second, again")
    assert heard(playing.client)[0] == b"second, again"
    held_clock.advance(1)
    say(third, b"third")
    assert heard(playing.client)[0] == b"third"
    say(second, b"second, late")
    say(first, b"first, much too late")
    say(third, b"third, again")
    assert [heard(playing.client)[0] for _ in range(2)] == [b"second, late", b"third, again"]
    assert playing.dropped() == {"replay": 4}


@pytest.mark.parametrize("method", MODERN)
def test_each_packet_connection_is_a_session(method):
    assert Playing(method).session() != Playing(method).session()
