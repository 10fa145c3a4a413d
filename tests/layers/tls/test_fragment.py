"""gproxy.layers.tls.fragment: where a hello is cut, and what a server gets to see of it."""

from __future__ import annotations

import itertools

import pytest

from gproxy.layers.tls import fragment
from gproxy.layers.tls.fragment import Cutter, cuts, pieces_of, records_of
from gproxy.rt.group import Group
from gproxy.wire.clienthello import decode_client_hello
from gproxy.wire.cursor import Cursor
from tests.conformance.streams import tcp_pair
from tests.layers.tls.lab import client
from tests.support.pipe import pipe
from tests.support.playbook import new_session

pytestmark = pytest.mark.usefixtures("no_leaks")


def hello_for(host, **options):
    """What OpenSSL says first."""
    near, far = pipe()
    with Group("test") as group:
        dial = group.spawn(client(host, handshake_timeout=5, **options).connecting(lambda _: near), new_session())
        data = far.recv()
        far.close()
        dial.kill()
    return data


HELLO = hello_for("www.some.site.test")


def name_in(piece):
    return [label for label in (b"www", b"some", b"site") if label in piece]


def test_every_label_but_the_last_is_cut_inside():
    seen = set()
    for _ in range(200):
        places = cuts(HELLO)
        assert len(places) == 3
        pieces = pieces_of(HELLO, places)
        assert b"".join(pieces) == HELLO
        assert not any(name_in(piece) for piece in pieces)
        seen.add(tuple(places))
    assert len(seen) > 10, "the places are chosen by chance"
    start = HELLO.index(b"www")
    assert {places[0] - start for places in seen} == {1, 2}
    assert {places[1] - start for places in seen} == {5, 6, 7}


@pytest.mark.parametrize(
    ("host", "count"), [("localhost", 1), ("a.test", 1), ("a.b.test", 2), ("xn--bcher-kva.test", 1)]
)
def test_short_names(host, count):
    hello = hello_for(host)
    places = cuts(hello)
    assert len(places) == count
    start = hello.index(host.encode())
    assert all(start <= place < start + len(host) for place in places)
    assert all(pieces_of(hello, places))


def test_records_are_the_same_hello():
    records = records_of(HELLO, cuts(HELLO))
    assert len(records) == 4
    assert all(record[:3] == HELLO[:3] and int.from_bytes(record[3:5], "big") == len(record) - 5 for record in records)
    again = decode_client_hello(Cursor(b"".join(records)))
    assert again == decode_client_hello(Cursor(HELLO))
    assert not any(name_in(record) for record in records)


@pytest.mark.parametrize(
    "data",
    [b"", b"\x16", HELLO[:-1], HELLO + b"x", hello_for("192.0.2.1"), b"\x15\x03\x03\x00\x02\x02\x28", HELLO[:200]],
    ids=["nothing", "a byte", "cut", "more", "no name", "an alert", "half"],
)
def test_what_is_sent_as_it_is(data):
    assert cuts(data) == []
    near, far = pipe()
    Cutter(packets=True, records=True, delay=30).send(near, data)
    if data:
        assert far.recv() == data
    near.close()
    far.close()


class Sink:
    """A stream that notes what is sent, and when."""

    def __init__(self, clock):
        self._clock = clock
        self.sent = []

    def sendall(self, data):
        self.sent.append((self._clock(), bytes(data)))

    def bare(self):
        return None


@pytest.fixture
def asleep(held_clock, monkeypatch):
    """Sleep moves the clock."""
    monkeypatch.setattr(fragment, "sleep", held_clock.advance)
    return held_clock


def test_where_nobody_can_tell_a_delay_is_between_the_pieces(asleep):
    sink = Sink(asleep.now)
    Cutter(packets=True, records=False, delay=0.5).send(sink, memoryview(HELLO))
    assert b"".join(piece for _, piece in sink.sent) == HELLO
    times = [at for at, _ in sink.sent]
    assert [round(after - before, 3) for before, after in itertools.pairwise(times)] == [0.5, 0.5, 0.5]


def test_where_the_system_can_tell_that_is_waited_for(asleep, monkeypatch):
    on_their_way = iter([2, 2, 1, 0, 1, 1, 1, 1, 0, 0])
    monkeypatch.setattr(fragment, "unacknowledged", lambda fd: next(on_their_way))
    sink = Sink(asleep.now)
    sink.bare = lambda: 7
    Cutter(packets=True, records=False, delay=0.5).send(sink, HELLO)
    times = [at for at, _ in sink.sent]
    gaps = [round(after - before, 3) for before, after in itertools.pairwise(times)]
    assert gaps == [0.03, 0.04, 0.5], "what arrives at once has not got far"


def test_all_records_in_one_write_or_one_by_one(asleep):
    together, apart = Sink(asleep.now), Sink(asleep.now)
    Cutter(packets=False, records=True, delay=0.5).send(together, HELLO)
    Cutter(packets=True, records=True, delay=0.5).send(apart, HELLO)
    [(_, data)] = together.sent
    assert decode_client_hello(Cursor(data)).server_name == "www.some.site.test"
    assert data.count(HELLO[:3]) == 4
    assert [piece[:3] for _, piece in apart.sent] == [HELLO[:3]] * 4


def test_a_second_hello_is_cut_too(asleep):
    sink = Sink(asleep.now)
    Cutter(packets=True, records=False, delay=0.5).send(sink, b"\x14\x03\x03\x00\x01\x01" + HELLO)
    assert len(sink.sent) == 4
    assert sink.sent[0][1].startswith(b"\x14\x03\x03\x00\x01\x01\x16")


def test_pieces_on_a_real_socket_are_packets(monkeypatch):
    near, far = tcp_pair()
    got = []
    with Group("test") as group:
        group.spawn(Cutter(packets=True, records=False, delay=0.05).send, near, HELLO)
        while sum(map(len, got)) < len(HELLO):
            got.append(far.recv())
    assert b"".join(got) == HELLO
    assert len(got) == 4
    assert not any(name_in(piece) for piece in got)
    near.close()
    far.close()
