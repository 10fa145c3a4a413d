"""gproxy.protocol.shadowsocks.packets_in: the server side where each packet stands for itself."""

from __future__ import annotations

import os

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import StreamClosed
from gproxy.protocol.shadowsocks import packets_in
from gproxy.protocol.shadowsocks.packets_in import KeyedPackets, afresh
from gproxy.protocol.shadowsocks.users import KeyRing
from gproxy.protocol.shadowsocks.wire.methods import METHODS
from gproxy.protocol.shadowsocks.wire.packets import codec
from gproxy.wire.socksaddr import encode_address
from tests.protocol.shadowsocks.packet_lab import HOME, TARGET, Network, Sealed, network, new_session
from tests.support.dispatch import RecordingDispatcher
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")

METHOD = "aes-128-gcm"
AWAY = Address.parse("198.51.100.8:40000")
OTHER = Address.parse("example.com:80")
ALICE, BOB = {"name": "alice", "password": "a"}, {"name": "bob", "password": "b"}


@pytest.fixture
def net():
    with network(method=METHOD, password="x") as made:
        yield made


def client(password="x", method=METHOD):
    return Sealed(method=method, password=password)


def ring_of(net: Network) -> KeyRing:
    return net.inbound._ring


def dropped(net: Network):
    return net.door.accept.__self__.dropped.counts


def test_there_and_back_to_many_targets(net):
    me = client()
    for target in (TARGET, OTHER, TARGET):
        net.say(me.packet(b"question", target))
    answers = net.heard(HOME, 3)
    assert [me.opened(answer) for answer in answers] == [(b"question", target) for target in (TARGET, OTHER, TARGET)]
    assert net.begun == 1
    assert net.dispatcher.session.user is None


def test_each_address_is_a_session(net):
    me = client()
    for source in (HOME, AWAY, HOME):
        net.say(me.packet(), source)
    assert me.opened(net.heard(HOME, 2)[1])[0] == me.opened(net.heard(AWAY)[0])[0] == b"hello"
    assert [session.source for session in net.dispatcher.sessions] == [HOME, AWAY]


@pytest.mark.parametrize("method", ["aes-256-gcm", "xchacha20-ietf-poly1305", "none", "aes-256-cfb"])
def test_every_beginning_of_a_packet_begins_nothing(method):
    with network(method=method, password="x") as net:
        packet = client(method=method).packet(b"")
        for end in range(len(packet)):
            net.say(packet[:end])
        assert net.begun == 0
        assert sum(dropped(net).values()) == len(packet)
        net.say(packet)
        net.heard(HOME)


def test_garbage_begins_nothing(net):
    for size in (0, 1, 15, 31, 32, 33, 64, 1200, 65_507):
        net.say(os.urandom(size))
    net.say(client("wrong").packet())
    assert net.begun == 0
    assert net.errors == []
    assert dropped(net) == {"auth": 5, "protocol": 5}


def test_garbage_into_a_session_is_dropped(net):
    me, stranger = client(), client("wrong")
    net.say(me.packet(b"one"))
    net.heard(HOME)
    net.say(stranger.packet())
    net.say(b"short")
    net.say(me.packet(b"two"))
    assert [me.opened(answer)[0] for answer in net.heard(HOME, 2)] == [b"one", b"two"]
    assert dropped(net) == {"auth": 1, "protocol": 1}


@pytest.mark.parametrize("bad", [b"\x02" + bytes(20), b"\x01\x7f\0\0\1\0\0payload", b"\x03\xffshort", b""])
def test_genuine_packets_without_a_target_are_dropped(net, bad):
    packet = codec(METHODS[METHOD]).seal(ring_of(net).key, bad, b"")
    net.say(packet)
    assert net.begun == 0
    net.say(client().packet())
    net.heard(HOME)
    net.say(packet)
    net.say(client().packet())
    assert len(net.heard(HOME, 2)) == 2


def test_the_first_packet_can_turn_out_bad_after_it_was_admitted(net):
    """Nobody but a demux asks first: then the session ends, with the reason."""
    net.door = type(net.door)(net.door.accept, lambda packet, host: True)
    net.say(client("wrong").packet())
    net.close()
    assert [error.word for error in net.errors] == ["auth"]
    assert net.dispatcher.sessions == []


def test_too_large_an_answer_is_dropped(net):
    got = []

    class Answering(RecordingDispatcher):
        def packets(self, session, conn):
            _, target = conn.recv_from()
            for size in (65_535, 65_507, 65_507 - 16 - 7 - 16 + 1, 65_507 - 16 - 7 - 16):
                conn.send_to(bytes(size), target)
            got.append("done")

    with network(dispatcher=Answering(), method=METHOD, password="x") as answering:
        me = client()
        answering.say(me.packet())
        [answer] = answering.heard(HOME)
        assert len(answer) == 65_507
        assert me.opened(answer)[0] == bytes(65_507 - 39)
        answering.close()
        assert dropped(answering) == {"limit": 3}
    assert got == ["done"]


def test_users_are_found_by_trial_and_remembered():
    with network(method=METHOD, users=[ALICE, BOB]) as net:
        for password, source in (("b", HOME), ("a", AWAY)):
            me = client(password)
            net.say(me.packet(), source)
            assert me.opened(net.heard(source)[0]) == (b"hello", TARGET)
        assert [session.user for session in net.dispatcher.sessions] == ["bob", "alice"]
        assert next(ring_of(net).candidates(HOME.host)).name == "bob"
        net.say(client("nobody's").packet(), Address.parse("198.51.100.9:1"))
        assert net.begun == 2


def test_another_user_behind_the_same_address_takes_over():
    with network(method=METHOD, users=[ALICE, BOB]) as net:
        alice, bob = client("a"), client("b")
        net.say(alice.packet(b"from alice"))
        assert alice.opened(net.heard(HOME)[0])[0] == b"from alice"
        net.say(bob.packet(b"from bob"))
        net.say(bob.packet(b"again"))
        assert [bob.opened(answer)[0] for answer in net.heard(HOME, 3)[1:]] == [b"from bob", b"again"]
        assert [session.user for session in net.dispatcher.sessions] == ["alice", "bob"]
        assert net.begun == 1


def test_a_user_that_is_removed_is_served_no_longer():
    with network(method=METHOD, users=[ALICE, BOB]) as net:
        alice, bob = client("a"), client("b")
        net.say(alice.packet())
        net.say(bob.packet(), AWAY)
        net.heard(HOME)
        net.heard(AWAY)
        ring_of(net).replace([("alice", "a", None)])
        net.say(alice.packet(b"still here"))
        assert alice.opened(net.heard(HOME, 2)[1])[0] == b"still here"
        net.say(bob.packet(), AWAY)
        net.say(bob.packet(), AWAY)
        net.close()
        assert len(net.conns[AWAY].sent) == 1
        assert net.begun == 2


def test_answers_for_a_user_that_is_removed_end_with_it():
    outcome = []

    class Late(RecordingDispatcher):
        def packets(self, session, conn):
            _, target = conn.recv_from()
            ring_of(net).replace([])
            for call, *args in ((conn.send_to, b"late", target), (conn.recv_from,)):
                try:
                    call(*args)
                except StreamClosed as error:
                    outcome.append(error.reason)
                assert net.conns[HOME].closed, "whoever reads there would wait for ever"

    with network(dispatcher=Late(), method=METHOD, users=[ALICE]) as net:
        net.say(client("a").packet())
        wait_until(lambda: len(outcome) == 2, "it is served still")
        assert net.conns[HOME].sent == []
    assert outcome == ["killed", "local"]


def test_a_user_that_is_renamed_is_another_one():
    with network(method=METHOD, users=[ALICE]) as net:
        me = client("a")
        net.say(me.packet())
        net.heard(HOME)
        ring_of(net).replace([("alicia", "a", None)])
        net.say(me.packet())  # ends the session
        net.close()
        net.say(me.packet())
        net.heard(HOME)
        assert [session.user for session in net.dispatcher.sessions] == ["alice", "alicia"]


def test_trials_are_limited_where_an_address_is_unknown(monkeypatch, held_clock):
    monkeypatch.setattr(packets_in, "_TRIALS", 10.0)
    monkeypatch.setattr(packets_in, "_TRIALS_AT_ONCE", 10.0)
    users = [{"name": f"user {n}", "password": f"p{n}"} for n in range(8)]
    with network(method=METHOD, users=users) as net:
        last = client("p7")
        net.say(last.packet())
        net.heard(HOME)
        tried = []
        opener = net.door.accept.__self__.opener
        real = opener._codec
        opener._codec = type("Counting", (), {"open": lambda self, *a: (tried.append(1), real.open(*a))[1]})()
        for _ in range(50):
            net.say(os.urandom(100), AWAY)
        assert len(tried) == 50 + 3  # seven were used up before, three were left; the first one is always tried
        opener._codec = real
        net.say(last.packet(b"known address"), Address(HOME.host, 999))
        net.heard(Address(HOME.host, 999))
        net.say(last.packet(b"unknown address"), Address.parse("198.51.100.9:1"))
        assert net.begun == 2
        held_clock.advance(1)
        net.say(last.packet(b"unknown address"), Address.parse("198.51.100.9:1"))
        assert net.begun == 3


def test_the_one_who_comes_after_has_a_session_of_its_own():
    session = new_session()
    session.user, session.outbound, session.rule, session.target = "alice", "direct", "rule 1", TARGET
    session.udp_timeout = 7.0
    after = afresh(session)
    assert (after.user, after.outbound, after.rule, after.udp_timeout) == (None, "", "", 7.0)
    assert (after.id, after.source, after.target) == (session.id, session.source, session.local)
    assert session.user == "alice"


def test_identify_gives_the_payload_without_its_address():
    ring = KeyRing(METHODS[METHOD], "x", (), several=False)
    packet = codec(METHODS[METHOD]).seal(ring.key, encode_address(TARGET), b"payload")
    credential, payload, target = KeyedPackets(ring).identify(packet, "192.0.2.77")
    assert (credential.key, payload, target) == (ring.key, b"payload", TARGET)
