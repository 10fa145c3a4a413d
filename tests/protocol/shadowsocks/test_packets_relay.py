"""gproxy.protocol.shadowsocks.packets_relay: packets that are passed on without being understood."""

from __future__ import annotations

import os

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import StreamClosed
from tests.protocol.shadowsocks.lab import secret
from tests.protocol.shadowsocks.packet_lab import AES_2022, HOME, TARGET, Sealed, network
from tests.support.dispatch import RecordingDispatcher

pytestmark = pytest.mark.usefixtures("no_leaks")

FIRST, SECOND = Address.parse("192.0.2.50:8388"), Address("second.example", 8389)
each_method = pytest.mark.parametrize("method", AES_2022)


class Wire(RecordingDispatcher):
    """Keeps what is passed on, and answers what it is told to."""

    def __init__(self) -> None:
        super().__init__(echo=False)
        self.conns = []

    def packets(self, session, conn):
        self.conns.append(conn)
        super().packets(session, conn)


def relay(method):
    destinations = [
        {"name": "first", "server": "192.0.2.50", "server_port": 8388, "password": secret(method, 2)},
        {"name": "second", "server": "second.example", "server_port": 8389, "password": secret(method, 3)},
    ]
    return network(dispatcher=Wire(), method=method, password=secret(method, 1), destinations=destinations)


def client(method, *seeds):
    return Sealed(method=method, password=":".join(secret(method, seed) for seed in seeds))


def passed(net, count=1):
    from tests.support.wait import wait_until

    wait_until(lambda: len(net.dispatcher.datagrams) >= count, "nothing was passed on")
    return net.dispatcher.datagrams[count - 1]


@each_method
def test_a_packet_reaches_its_destination_and_the_answer_comes_back(method):
    with relay(method) as net, network(method=method, password=secret(method, 2)) as destination:
        me = client(method, 1, 2)
        net.say(me.packet(b"question"))
        packet, to = passed(net)
        assert to == FIRST
        assert net.dispatcher.session.user == "first"
        destination.say(packet)
        [answer] = destination.heard(HOME)
        assert destination.dispatcher.datagrams == [(b"question", TARGET)]
        net.dispatcher.conns[0].send_to(answer, FIRST)
        assert net.heard(HOME) == [answer]
        assert me.opened(answer) == (b"question", TARGET)


@each_method
def test_a_destination_can_have_users(method):
    users = [{"name": "alice", "password": secret(method, 4)}]
    with relay(method) as net, network(method=method, password=secret(method, 3), users=users) as destination:
        me = client(method, 1, 3, 4)
        net.say(me.packet(b"question"))
        packet, to = passed(net)
        assert to == SECOND
        destination.say(packet)
        assert me.opened(destination.heard(HOME)[0])[0] == b"question"
        assert destination.dispatcher.session.user == "alice"


@each_method
def test_only_the_destination_answers(method):
    with relay(method) as net:
        net.say(client(method, 1, 2).packet(), HOME)
        passed(net)
        away = Address(HOME.host, 2)
        net.say(client(method, 1, 3).packet(), away)
        passed(net, 2)
        first, second = net.dispatcher.conns
        for conn, good in ((first, [FIRST]), (second, [SECOND, Address.parse("192.0.2.51:8389")])):
            conn.send_to(b"from elsewhere", Address.parse("192.0.2.99:8388"))
            conn.send_to(b"from another port", Address.parse("192.0.2.50:1"))
            for source in good:
                conn.send_to(b"good", source)
        assert net.heard(HOME) == [b"good"]
        assert net.heard(away, 2) == [b"good", b"good"]


@each_method
def test_who_is_unknown_is_not_passed_on(method):
    with relay(method) as net:
        for packet in (
            client(method, 1, 9).packet(),  # a destination that nobody knows
            client(method, 9, 2).packet(),  # another relay's
            client(method, 1).packet(b"x" * 100),  # no identity header at all
            os.urandom(200),
        ):
            net.say(packet)
        good = client(method, 1, 2).packet(b"")
        for end in range(32 + 11 + 16):
            net.say(good[:end])
        assert net.begun == 0
        assert net.door.accept.__self__.dropped.counts == {"auth": 4, "protocol": 59}


@each_method
def test_another_destination_from_the_same_address(method):
    with relay(method) as net:
        for number, seed in enumerate((2, 2, 3, 3, 2), 1):
            net.say(client(method, 1, seed).packet())
            assert passed(net, number)[1] == (FIRST if seed == 2 else SECOND)
        net.say(os.urandom(100))
        assert [session.user for session in net.dispatcher.sessions] == ["first", "second", "first"]
        assert net.begun == 1


@each_method
def test_an_answer_after_the_end(method):
    with relay(method) as net:
        net.say(client(method, 1, 2).packet())
        passed(net)
        net.close()
        with pytest.raises(StreamClosed):
            net.dispatcher.conns[0].send_to(b"late", FIRST)
