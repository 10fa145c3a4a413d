"""gproxy.protocol.shadowsocks.sessions_in: the server side of the 2022 edition, and clients that move."""

from __future__ import annotations

import os

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import Overloaded, ReplayError, StreamClosed
from gproxy.base.wiring import Replays
from gproxy.protocol.shadowsocks import sessions_in
from gproxy.protocol.shadowsocks.sessions_in import ClientSession
from gproxy.protocol.shadowsocks.users import Credential
from gproxy.protocol.shadowsocks.wire.methods import METHODS
from gproxy.protocol.shadowsocks.wire.packets2022 import make_format, make_sealer, request_head
from gproxy.wire.socksaddr import encode_address
from tests.protocol.shadowsocks.lab import secret
from tests.protocol.shadowsocks.packet_lab import AES_2022, HOME, SEALED, TARGET, Sealed, network
from tests.support import shadowsocks as by_hand
from tests.support.dispatch import RecordingDispatcher
from tests.support.replays import KnownSalts, no_replays
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")

MODERN = tuple(name for name in SEALED if name.startswith("2022"))
AES = AES_2022[0]
STRETCH = sessions_in._STRETCH
AWAY, FURTHER = Address.parse("198.51.100.8:40001"), Address.parse("198.51.100.9:40002")
HEAD = encode_address(TARGET)
each_method = pytest.mark.parametrize("method", MODERN)


def net_of(method, **kwargs):
    return network(method=method, password=secret(method), **kwargs)


def client(method, *seeds):
    return Sealed(method=method, password=":".join(secret(method, seed) for seed in seeds or (1,)))


def sealer_of(method, session=None, number=0):
    """A client's, whose numbers a test chooses."""
    made = METHODS[method]
    return make_sealer(made, [bytes((1,)) * made.key_size], session or os.urandom(8), number)


def packet(sealer, number=None, payload=b"hello", head=None):
    if number is not None:
        sealer.number = number
    return sealer.seal(request_head(HEAD, len(payload)) if head is None else head, HEAD, payload)


def dropped(net):
    return dict(net.door.accept.__self__.dropped.counts)


def door(net):
    return net.door.accept.__self__


def received(net, count):
    wait_until(lambda: len(net.dispatcher.datagrams) >= count, f"not {count} packets were received")
    return [data for data, _ in net.dispatcher.datagrams]


@each_method
def test_there_and_back_within_one_session(method):
    with net_of(method) as net:
        me = client(method)
        for number in range(4):
            net.say(me.packet(b"%d" % number))
        assert [me.opened(answer) for answer in net.heard(HOME, 4)] == [(b"%d" % n, TARGET) for n in range(4)]
        assert net.dispatcher.session.user is None
        assert net.begun == 1


@each_method
def test_each_packet_is_taken_once(method):
    with net_of(method) as net:
        sealer = sealer_of(method)
        packets = [packet(sealer, payload=b"%d" % n) for n in range(4)]
        for number in (0, 2, 2, 1, 0, 3, 3):
            net.say(packets[number])
        net.heard(HOME, 4)
        assert received(net, 4) == [b"0", b"2", b"1", b"3"]
        net.say(packets[1], AWAY)
        assert AWAY not in net.conns
        wait_until(lambda: dropped(net) == {"replay": 4}, "not all were counted")


@each_method
def test_what_lies_too_far_behind_is_not_taken(method):
    with net_of(method) as net:
        sealer = sealer_of(method)
        for number in (5000, 5000 - 4095, 5000 - 4096, 2**64 - 1, 2**64 - 2, 5001):
            net.say(packet(sealer, number, b"%d" % number))
        net.heard(HOME, 4)
        assert received(net, 4) == [b"5000", b"905", b"%d" % (2**64 - 1), b"%d" % (2**64 - 2)]


@each_method
@pytest.mark.parametrize("off", [31, -31])
def test_clocks_may_differ_by_30_seconds(method, off, held_clock):
    with net_of(method) as net:
        sealer = sealer_of(method)
        made = METHODS[method]
        assert made.kind == "2022"
        good, bad = (request_with_time(int(held_clock.wall()) + away) for away in (off - off // 31, off))
        net.say(packet(sealer, 0, head=bad))
        assert net.begun == 0
        net.say(packet(sealer, 0, head=good))
        net.heard(HOME)
        net.say(packet(sealer, 1, head=bad))
        net.say(packet(sealer, 1, head=good))
        net.heard(HOME, 2)
        assert dropped(net) == {"protocol-time": 2}


def request_with_time(time):
    return b"\0" + time.to_bytes(8, "big") + b"\0\0"


@each_method
def test_bad_packets_begin_nothing_and_end_nothing(method):
    made = METHODS[method]
    with net_of(method) as net:
        sealer = sealer_of(method)
        good = packet(sealer, 0, b"")
        wrong_key = make_sealer(made, [bytes(made.key_size)], os.urandom(8))
        bad = [
            *(good[:end] for end in range(len(good))),
            *(os.urandom(size) for size in (16, 50, 100, 1200, 65_507)),
            packet(wrong_key),
            packet(sealer, 1, head=b"\1" + request_head(HEAD, 0)[1:]),  # a server's type
            packet(sealer, 2, head=request_head(HEAD, 0)[:-2] + b"\xff\xff"),  # more padding than there is
            sealer.seal(request_head(b"", 0), HEAD[:-2] + b"\0\0", b"x" * 20),  # port 0
            sealer.seal(request_head(b"", 0), b"\x07" + bytes(20), b""),  # no such type of address
            sealer.seal(request_head(b"", 0), b"\x03\xff", b"x" * 20),  # a name that is not all there
        ]
        for each in bad:
            net.say(each)
        assert net.begun == 0
        assert door(net)._sessions == {}
        assert set(dropped(net)) == {"auth", "protocol", "unsupported-address"}
        net.say(good)
        net.heard(HOME)
        for each in bad:
            net.say(each)
        net.say(packet(sealer, 9, b"still here"))
        net.heard(HOME, 2)
        assert net.begun == 1
        assert sum(dropped(net).values()) == 2 * len(bad)


@each_method
def test_a_client_that_moves_keeps_its_session(method):
    with net_of(method) as net:
        me = client(method)
        net.say(me.packet(b"at home"))
        assert me.opened(net.heard(HOME)[0])[0] == b"at home"
        net.say(me.packet(b"away"), AWAY)
        net.say(me.packet(b"away again"), AWAY)
        assert [me.opened(answer)[0] for answer in net.heard(AWAY, 2)] == [b"away", b"away again"]
        assert net.conns[HOME].closed
        net.say(me.packet(b"further"), FURTHER)
        assert me.opened(net.heard(FURTHER)[0])[0] == b"further"
        net.say(me.packet(b"home"), HOME)
        assert me.opened(net.heard(HOME)[0])[0] == b"home"
        assert len(net.dispatcher.sessions) == 1
        assert net.begun == 4
        assert [data for data, _ in net.dispatcher.datagrams] == [
            b"at home", b"away", b"away again", b"further", b"home",
        ]  # fmt: skip


@each_method
def test_answers_go_to_the_newest_address_before_it_has_said_more(method):
    class Late(RecordingDispatcher):
        def packets(self, session, conn):
            self.conn = conn
            super().packets(session, conn)

    with net_of(method, dispatcher=Late(echo=False)) as net:
        me = client(method)
        net.say(me.packet(b"at home"))
        received(net, 1)
        net.dispatcher.conn.send_to(b"one", TARGET)
        net.say(me.packet(b"away"), AWAY)
        received(net, 2)
        net.dispatcher.conn.send_to(b"two", TARGET)
        assert me.opened(net.heard(HOME)[0])[0] == b"one"
        assert me.opened(net.heard(AWAY)[0])[0] == b"two"


@each_method
def test_who_replays_from_elsewhere_moves_nothing(method):
    with net_of(method) as net:
        sealer = sealer_of(method)
        first = packet(sealer)
        net.say(first)
        net.heard(HOME)
        net.say(first, AWAY)
        changed = bytearray(packet(sealer))
        changed[-1] ^= 1
        net.say(bytes(changed), AWAY)
        net.say(packet(sealer, 1))
        net.heard(HOME, 2)
        assert AWAY not in net.conns
        assert dropped(net) == {"replay": 1, "auth": 1}


@each_method
def test_the_end_of_the_session_ends_it_where_it_is(method):
    with net_of(method) as net:
        me = client(method)
        net.say(me.packet())
        net.heard(HOME)
        net.say(me.packet(), AWAY)
        net.heard(AWAY)
        net.conns[AWAY].close()
        wait_until(lambda: not [s for s in door(net)._sessions.values() if s.live], "the session goes on")
        net.say(me.packet(b"back"), FURTHER)
        assert me.opened(net.heard(FURTHER)[0])[0] == b"back"
        assert len(net.dispatcher.sessions) == 2
        assert net.errors == []


@each_method
def test_a_session_that_comes_back_goes_on_with_its_numbers(method):
    with net_of(method) as net:
        me, made = client(method), METHODS[method]
        form = make_format(made, bytes((1,)) * made.key_size)
        first = me.packet()
        net.say(first)
        answers = net.heard(HOME)
        net.conns[HOME].close()
        wait_until(lambda: not door(net)._sessions[form.begin(first)[0][:8]].live, "the session goes on")
        net.say(first)
        assert net.begun == 1
        assert dropped(net) == {"replay": 1}
        net.say(me.packet(b"back"))
        answers += net.heard(HOME)
        blocks = [form.begin(answer)[0] for answer in answers]
        assert blocks[0][:8] == blocks[1][:8]
        assert [int.from_bytes(block[8:], "big") for block in blocks] == [0, 1]
        assert me.opened(answers[1])[0] == b"back"


@each_method
def test_another_session_takes_the_address_over(method):
    with net_of(method) as net:
        one, other = client(method), client(method)
        net.say(one.packet(b"one"))
        net.heard(HOME)
        net.say(other.packet(b"other"))
        net.say(other.packet(b"again"))
        assert [other.opened(answer)[0] for answer in net.heard(HOME, 3)[1:]] == [b"other", b"again"]
        assert len(net.dispatcher.sessions) == 2
        assert net.begun == 1


@each_method
def test_a_session_moves_to_an_address_where_another_one_was(method):
    with net_of(method) as net:
        one, other = client(method), client(method)
        net.say(one.packet(b"one"), HOME)
        net.heard(HOME)
        net.say(other.packet(b"other"), AWAY)
        net.heard(AWAY)
        net.say(other.packet(b"other moved"), HOME)
        assert other.opened(net.heard(HOME, 2)[1])[0] == b"other moved"
        assert net.conns[AWAY].closed
        net.say(one.packet(b"one is back"), HOME)
        assert one.opened(net.heard(HOME, 3)[2])[0] == b"one is back"
        assert len(net.dispatcher.sessions) == 3
        assert net.errors == []


@pytest.mark.parametrize("method", AES_2022)
def test_users_are_named_by_their_identity_headers(method):
    users = [{"name": f"user {n}", "password": secret(method, n)} for n in (2, 3)]
    with net_of(method, users=users) as net:
        for n, source in ((3, HOME), (2, AWAY)):
            me = client(method, 1, n)
            net.say(me.packet(), source)
            assert me.opened(net.heard(source)[0]) == (b"hello", TARGET)
        assert [session.user for session in net.dispatcher.sessions] == ["user 3", "user 2"]
        for stranger in (client(method, 1, 9), client(method, 9, 2), client(method, 1), client(method, 2)):
            net.say(stranger.packet(b"x" * 40), FURTHER)
        assert net.begun == 2
        assert dropped(net) == {"auth": 4}


def test_another_libraries_client_is_understood():
    with net_of(AES, users=[{"name": "user", "password": secret(AES, 2)}]) as net:
        key = by_hand.key_of(AES, f"{secret(AES, 1)}:{secret(AES, 2)}")
        other = by_hand.Packets(key)
        net.say(other.seal(HEAD, b"payload"))
        assert other.open(net.heard(HOME)[0]) == (HEAD, b"payload")


def test_a_session_belongs_to_its_user():
    users = [{"name": f"user {n}", "password": secret(AES, n)} for n in (2, 3)]
    with net_of(AES, users=users) as net:
        one, other = (
            by_hand.Packets(by_hand.key_of(AES, f"{secret(AES, 1)}:{secret(AES, n)}"), session=b"the same")
            for n in (2, 3)
        )
        net.say(one.seal(HEAD, b"mine"))
        net.heard(HOME)
        net.say(other.seal(HEAD, b"stolen", number=5), AWAY)
        net.say(one.seal(HEAD, b"still mine"))
        net.heard(HOME, 2)
        assert AWAY not in net.conns
        assert dropped(net) == {"auth": 1}


def test_a_user_that_is_removed_is_served_no_longer():
    users = [{"name": f"user {n}", "password": secret(AES, n)} for n in (2, 3)]
    with net_of(AES, users=users) as net:
        stays, goes = client(AES, 1, 2), client(AES, 1, 3)
        net.say(stays.packet())
        net.say(goes.packet(), AWAY)
        net.heard(HOME)
        net.heard(AWAY)
        net.inbound._ring.replace([("user 2", secret(AES, 2), None)])
        net.say(goes.packet(), FURTHER)
        assert dropped(net) == {"auth": 1}
        net.say(stays.packet())
        net.say(goes.packet(), AWAY)
        net.heard(HOME, 2)
        wait_until(lambda: net.conns[AWAY].closed, "it is served still")
        net.say(goes.packet(), AWAY)
        assert dropped(net) == {"auth": 2}
        assert net.begun == 2


def test_answers_for_a_user_that_is_removed_end_with_it():
    outcome = []

    class Late(RecordingDispatcher):
        def packets(self, session, conn):
            _, target = conn.recv_from()
            net.inbound._ring.replace([])
            with pytest.raises(StreamClosed) as caught:
                conn.send_to(b"late", target)
            assert net.conns[HOME].closed, "whoever reads there would wait for ever"
            outcome.append(caught.value.reason)

    with net_of(AES, dispatcher=Late(), users=[{"name": "user", "password": secret(AES, 2)}]) as net:
        net.say(client(AES, 1, 2).packet())
        wait_until(lambda: outcome, "it is served still")
    assert outcome == ["killed"]


def test_too_large_an_answer_is_dropped():
    class Answering(RecordingDispatcher):
        def packets(self, session, conn):
            _, target = conn.recv_from()
            over = 16 + 19 + 7 + 16
            for size in (65_535, 65_507, 65_507 - over + 1, 65_507 - over):
                conn.send_to(bytes(size), target)

    with net_of(AES, dispatcher=Answering()) as net:
        me = client(AES)
        net.say(me.packet())
        [answer] = net.heard(HOME)
        assert len(answer) == 65_507
        assert me.opened(answer)[0] == bytes(65_507 - 58)
        net.close()
        assert dropped(net) == {"limit": 3}


def test_who_is_asked_to_end_where_a_session_has_moved_ends_it():
    """The connection of the newer address is closed from outside, as a full demux does."""
    with net_of(AES) as net:
        me = client(AES)
        net.say(me.packet())
        net.heard(HOME)
        net.say(me.packet(), AWAY)
        net.heard(AWAY)
        net.conns[AWAY].close()
        assert net._group.join(30)


def test_sessions_that_are_over_are_forgotten_after_a_minute(held_clock):
    with net_of(AES) as net:
        sealer = sealer_of(AES)
        first = packet(sealer)
        net.say(first)
        net.heard(HOME)
        net.conns[HOME].close()
        sessions = door(net)._sessions
        wait_until(lambda: not next(iter(sessions.values())).live, "the session goes on")
        held_clock.advance(30)
        net.say(first)
        assert dropped(net) == {"replay": 1}
        for passed, left in ((29, 2), (2, 2)):
            held_clock.advance(passed)
            other = client(AES)
            net.say(other.packet(), AWAY)
            net.heard(AWAY)
            net.conns.pop(AWAY).close()
            wait_until(lambda: not any(session.live for session in sessions.values()), "the session goes on")
            assert len(sessions) == left
        assert len(door(net)._over) == 2


def test_not_more_sessions_are_remembered_than_there_is_room_for(monkeypatch):
    monkeypatch.setattr(sessions_in, "_MOST_REMEMBERED", 3)
    with net_of(AES) as net:
        sessions = door(net)._sessions
        for number in range(6):
            net.say(client(AES).packet(), HOME)
            net.heard(HOME)
            net.conns.pop(HOME).close()
            wait_until(lambda: not any(session.live for session in sessions.values()), "the session goes on")
            assert len(sessions) == min(number + 1, 3)
        assert all(session.cipher is None for session in sessions.values())


@pytest.mark.parametrize("ended_again", [False, True])
def test_a_session_that_came_back_is_not_forgotten_for_its_first_end(ended_again, held_clock):
    with net_of(AES) as net:
        me = client(AES)
        sessions = door(net)._sessions

        def end(source):
            net.conns.pop(source).close()
            wait_until(lambda: not newest.live, "the session goes on")

        for passed in (0, 50):
            held_clock.advance(passed)
            net.say(me.packet())
            net.heard(HOME)
            newest = mine = next(iter(sessions.values()))
            if not passed or ended_again:
                end(HOME)
        held_clock.advance(20)
        net.say(client(AES).packet(), AWAY)
        net.heard(AWAY)
        *_, newest = sessions.values()
        assert newest is not mine
        end(AWAY)
        assert mine.id in sessions
        assert bool(mine.live) is not ended_again


# -- several processes -------------------------------------------------------------------------------------------------


@each_method
def test_what_has_come_to_one_process_does_not_come_to_another(method):
    shared = no_replays()
    with net_of(method, replays=shared) as one, net_of(method, replays=shared) as other:
        sealer = sealer_of(method)
        packets = [packet(sealer, payload=b"%d" % n) for n in range(2 * STRETCH + 2)]
        here = STRETCH + 3
        for each in packets[:here]:
            one.say(each)
        one.heard(HOME, here)
        for each in packets[:here]:
            other.say(each, AWAY)
        wait_until(lambda: len(other.errors) >= 1, "a replay was taken")
        assert other.dispatcher.datagrams == []
        assert {error.word for error in other.errors} == {"replay"}
        # The client moves, and its packets go to another process: it is heard from the next stretch on.
        for each in packets[here:]:
            other.say(each, AWAY)
            wait_until(lambda: AWAY not in other.conns or not other.conns[AWAY]._inbox, "a packet is left")
        assert received(other, 2) == [b"%d" % (2 * STRETCH), b"%d" % (2 * STRETCH + 1)]
        one.say(packets[-1], HOME)
        wait_until(lambda: dropped(one) == {"replay": 1}, "it was not counted")


def test_a_filter_without_room_holds_up_new_sessions_only():
    class Full(KnownSalts):
        room = 1

        def first(self, salt):
            if len(self.known) >= self.room:
                raise Overloaded("no room", reason="replay")
            return super().first(salt)

    full = Full()
    with net_of(AES, replays=Replays(full, full)) as net:
        sealer = sealer_of(AES)
        for number in (0, 1, STRETCH, STRETCH + 1, 3 * STRETCH):
            net.say(packet(sealer, number))
        assert len(net.heard(HOME, 5)) == 5
        net.say(client(AES).packet(), AWAY)
        wait_until(lambda: len(net.errors) == 1, "it was let in")
        assert net.errors[0].word == "overload-replay"


def test_a_stretch_is_told_once():
    known = KnownSalts()
    session = ClientSession(b"12345678", Credential(None, b"k" * 16), None, 0)
    last = 2 * STRETCH
    for number in (0, 1, STRETCH - 1, STRETCH, 3, STRETCH + 1, last - 1, last):
        session.accept(number, known)
    assert len(known.known) == 3
    elsewhere = ClientSession(b"12345678", Credential(None, b"k" * 16), None, 0)
    with pytest.raises(ReplayError):
        elsewhere.accept(last + 2, known)
    elsewhere.accept(last + STRETCH, known)
    with pytest.raises(ReplayError):
        session.accept(last + STRETCH + 1, known)
    assert not session.window.fresh(last)


def test_after_the_end_nothing_is_sent():
    kept = []

    class Keeping(RecordingDispatcher):
        def packets(self, session, conn):
            kept.append(conn)
            super().packets(session, conn)

    with net_of(AES, dispatcher=Keeping()) as net:
        net.say(client(AES).packet())
        net.heard(HOME)
        net.close()
        with pytest.raises(StreamClosed):
            kept[0].send_to(b"late", TARGET)
        with pytest.raises(StreamClosed):
            kept[0].recv_from()
