"""Crowds, and loads that go on: what comes of their connections is told, whatever the other side does."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.bench import floods, visits
from tests.bench.crowd import Crowd, Drips, Loris, Pressed, addresses
from tests.bench.doors import Door
from tests.bench.soak.steady import Steady
from tests.bench.worker import WorkFailed

Serve = Callable[[socket.socket], None]


@contextlib.contextmanager
def serving(serve: Serve) -> Iterator[Door]:
    """A server that treats each connection like this, in a thread of its own, and the door to it."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                threading.Thread(target=serve, args=(sock,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield Door("direct", listener.getsockname()[1], 0)
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def echo(sock: socket.socket) -> None:
    with sock, contextlib.suppress(OSError):
        while data := sock.recv(4096):
            sock.sendall(data)


def refuse(sock: socket.socket) -> None:
    sock.close()


def answer_once(sock: socket.socket) -> None:
    with sock:
        sock.sendall(sock.recv(4096))


def refuse_some(sock: socket.socket) -> None:
    """Those of an address with an odd end."""
    if int(sock.getpeername()[0].rpartition(".")[2]) % 2:
        refuse(sock)
    else:
        echo(sock)


def test_addresses() -> None:
    found = addresses(600, 3)
    assert len(set(found)) == 600
    assert found[0] == "127.3.0.1"
    assert found[250] == "127.3.1.1"
    assert max(int(each.rpartition(".")[2]) for each in found) == 250


def test_who_was_admitted_and_who_was_not() -> None:
    sources = addresses(4, 3)
    with serving(refuse_some) as door:
        pressed = Crowd().press(door, sources, 50, 10, 0.1)
    assert pressed.admitted == {sources[1]: 10, sources[3]: 10}
    assert pressed.refused == {sources[0]: 10, sources[2]: 10}
    assert not pressed.failed
    assert len(pressed.latencies) == 20
    assert 3 * 0.1 / 4 + 9 / 50 < pressed.seconds < 5


def test_slow_ones_that_are_closed_and_that_are_not() -> None:
    def patient(sock: socket.socket) -> None:
        with sock:
            assert sock.recv(1, socket.MSG_WAITALL) == b"a"
            assert sock.recv(1, socket.MSG_WAITALL) == b"b"

    with serving(patient) as door:
        dripped = Loris().drip([Drips(door.port, b"ab")], addresses(3, 3), 6, 0.1, 0.05, 20)
    assert dripped.left == 0
    assert len(dripped.closed) == 6
    assert min(dripped.closed) > 0.08
    with serving(echo) as door:
        dripped = Loris().drip([Drips(door.port, b"ab")], addresses(3, 3), 6, 0.1, 0.05, 0.2)
    assert dripped.left == 6
    assert dripped.closed == []


def test_a_load_holds_asks_and_opens() -> None:
    with serving(echo) as door:
        load = Steady([("plain", door)], rate=100, requests=2, life=60)
        grown = load.grow(20, 0.1)
        assert (len(grown.opened), grown.failed.total()) == (20, 0)
        steady = load.run(0.3)
        assert not steady.failed
        assert 20 < len(steady.opened) <= 30
        assert 40 < len(steady.asked) <= 60
        asked = load.ask_all()
        assert len(asked.asked) >= 20
        assert load.release() >= 20
        assert (load.visits, load.opening) == ({}, 0)


def test_a_load_without_a_rate_goes_as_fast_as_it_can() -> None:
    with serving(echo) as door:
        load = Steady([("plain", door)], rate=0, requests=1, life=60)
        load.grow(5, 0.1)
        tally = load.run(0.3)
        load.release()
    assert len(tally.opened) > 50
    assert len(tally.asked) > 50
    assert not tally.failed


def test_old_connections_are_replaced() -> None:
    with serving(echo) as door:
        load = Steady([("plain", door)], rate=50, requests=1, life=0)
        load.grow(5, 0.05)
        before = set(load.visits.values())
        tally = load.run(0.5)
        assert not tally.failed
        assert not tally.asked
        assert before.isdisjoint(load.visits.values())
        load.release()


def test_lost_connections_are_told_and_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visits, "_SWEEP", 0.05)
    with serving(answer_once) as door:
        load = Steady([("plain", door)], rate=1, requests=1, life=60)
        load.grow(5, 0.01)
        tally = load.run(0.5)
        assert tally.failed["plain, open: hung up while it was idle"] >= 10
        load.release()


def test_silence_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visits, "_SWEEP", 0.02)
    monkeypatch.setattr(visits, "STALL", 0.1)
    heard: list[socket.socket] = []
    with serving(heard.append) as door:
        load = Steady([("plain", door)], rate=0, requests=0, life=60)
        load.open("plain", door)
        while load.opening:
            load.turn()
        assert load.run(0).failed == {"plain, step 0: no answer in 0.1 s": 1}
    for sock in heard:
        sock.close()


def test_nobody_there_is_told() -> None:
    with serving(echo) as door:
        pass
    load = Steady([("plain", door)], rate=0, requests=0, life=60)
    load.open("plain", door)
    while load.opening:
        load.turn()
    assert load.run(0).failed == {"plain, step -1: [Errno 111] Connection refused": 1}


def test_how_far_a_crowd_is_from_what_it_may() -> None:
    counts = Counter(dict.fromkeys(addresses(500, 1), 41))
    counts["127.1.0.1"], counts["127.1.0.2"] = 38, 44
    pressed = Pressed(counts, Counter({"127.1.0.1": 500}), seconds=20.75)
    figures = floods.admitted(pressed)
    assert figures["flood-least"] == pytest.approx(100 * 3 / 41.5)
    assert figures["flood-most"] == pytest.approx(100 * 2.5 / 41.5)
    assert figures["flood-came"] == pytest.approx((500 * 41 + 500) / 20.75)
    pressed.failed["step 0: late"] += 1
    with pytest.raises(WorkFailed):
        floods.admitted(pressed)
