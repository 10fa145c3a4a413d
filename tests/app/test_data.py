from __future__ import annotations

import contextlib
import errno
import os
import socket as consts
from _socket import socket
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from gproxy.app.data import DataPlane
from gproxy.app.messages import (
    AskDebug,
    AskSnapshot,
    Debugged,
    Handover,
    Prepared,
    Reopen,
    Serve,
    Serving,
    Snapshot,
    Stop,
    StopNow,
    Stopped,
    Supplied,
    ToData,
    Traffic,
    Users,
    Yield,
    Yielded,
)
from gproxy.base.clock import now
from gproxy.base.errors import StreamClosed
from gproxy.base.iface import Later, QueryEntrance
from gproxy.net.bind import Endpoint
from gproxy.net.listen import StreamListener
from gproxy.net.stream import SocketStream
from gproxy.observe.sink import Sink
from gproxy.proc.local import LocalChannel
from gproxy.rt.deadline import deadline
from gproxy.rt.group import Group
from gproxy.rt.sockets import READ, Readiness
from gproxy.rt.sync import Event, sleep
from tests.app.rooms import client_of, house_of, sockets_of
from tests.support.ports import free_port
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")

LOOPBACK = IPv4Address("127.0.0.1")


class Plane:
    """A data plane with one tunnel to a target that the test plays, ruled by the test."""

    def __init__(self, folder: Path, channel: LocalChannel | None = None) -> None:
        self.target = Endpoint("stream", LOOPBACK).open()
        self.port = free_port()
        self.house = house_of(
            inbounds=[
                {
                    "type": "direct", "tag": "in", "listen": "127.0.0.1", "listen_port": self.port,
                    "override_address": "127.0.0.1", "override_port": self.target.getsockname()[1],
                }
            ]
        )  # fmt: skip
        self.sockets = sockets_of(self.house)
        self.reached: list[SocketStream] = []
        self._arrivals = StreamListener(self.target, lambda stream, name: self.reached.append(stream))
        self._arrivals.start()
        self.log = folder / "log"
        self._stopped = False
        self._sink = Sink(str(self.log))
        self.channel = channel or LocalChannel()
        self._group = Group("test")
        self._group.spawn(DataPlane(self.house, self.sockets, self._sink).serve, self.channel)

    def hear(self, kind: type) -> Any:
        with deadline(30, TimeoutError(f"no {kind.__name__}")):
            message = self.channel.hear()
        assert isinstance(message, kind), message
        self._stopped = self._stopped or kind is Stopped
        return message

    def begin(self) -> None:
        self.hear(Prepared)
        self.channel.order(Serve())
        self.hear(Serving)

    def connect(self) -> tuple[SocketStream, SocketStream]:
        count = len(self.reached)
        client = client_of(self.port)
        wait_until(lambda: len(self.reached) > count, "the target is not reached")
        return client, self.reached[count]

    def close(self) -> None:
        if not self._stopped:
            self.channel.order(StopNow())
        with deadline(30, TimeoutError("it does not stop")):
            while not self._stopped:
                self._stopped = isinstance(self.channel.hear(), Stopped)
        self._group.kill()
        self._arrivals.stop()
        self.target.close()
        for stream in self.reached:
            stream.close()
        for slots in self.sockets.values():
            for sock in slots.values():
                sock.close()
        self._sink.close()
        os.close(self._sink._fd)


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    plane = Plane(tmp_path)
    yield plane
    plane.close()


def exchange(one: SocketStream, other: SocketStream) -> None:
    one.sendall(b"ping")
    assert other.recv() == b"ping"
    other.sendall(b"pong")
    assert one.recv() == b"pong"


def test_nothing_is_served_before_it_is_told_to(plane: Plane) -> None:
    plane.hear(Prepared)
    client = client_of(plane.port)  # waits in the queue
    plane.channel.order(AskSnapshot())
    assert plane.hear(Snapshot).opened == 0
    plane.channel.order(Serve())
    plane.hear(Serving)
    wait_until(lambda: plane.reached, "the one in the queue is not served")
    exchange(client, plane.reached[0])
    client.close()


def test_the_counters_are_told(plane: Plane) -> None:
    plane.begin()
    client, target = plane.connect()
    exchange(client, target)
    plane.channel.order(AskSnapshot())
    assert plane.hear(Snapshot) == Snapshot(1, 1, 0, 0, {})
    client.close()
    target.close()
    wait_until(lambda: plane.house.meter.active == 0, "the session does not end")
    plane.channel.order(AskSnapshot())
    assert plane.hear(Snapshot) == Snapshot(1, 0, 4, 4, {"ok": 1})


def test_a_stop_lets_open_sessions_end_by_themselves(plane: Plane) -> None:
    plane.begin()
    client, target = plane.connect()
    plane.channel.order(Stop(60))
    plane.channel.order(AskSnapshot())
    assert plane.hear(Snapshot).active == 1
    exchange(client, target)
    client.close()
    target.close()
    assert plane.hear(Snapshot) == Snapshot(1, 0, 4, 4, {"ok": 1})
    assert plane.hear(Stopped) == Stopped(0)


def test_a_stop_waits_for_no_link_on_which_there_is_nothing(plane: Plane) -> None:
    plane.begin()
    client, target = plane.connect()
    [(session, _)] = plane.house.table._live.values()
    session.carries = True
    plane.channel.order(Stop(60))
    assert plane.hear(Snapshot).statuses == {"closed-drained": 1}
    assert plane.hear(Stopped) == Stopped(0)
    client.close()
    target.close()


def test_a_link_goes_on_for_a_moment_after_the_last_that_it_carried(plane: Plane) -> None:
    """What its client has begun by then is on its way: it would be lost."""
    plane.begin()
    link, carried = plane.connect(), plane.connect()
    [(session, _), _] = plane.house.table._live.values()
    session.carries = True
    plane.channel.order(Stop(60))
    exchange(*carried)
    began = now()
    for stream in carried:
        stream.close()
    assert plane.hear(Snapshot).statuses == {"ok": 1, "closed-drained": 1}
    assert now() - began >= 1.0
    assert plane.hear(Stopped) == Stopped(0)
    for stream in link:
        stream.close()


def test_a_stop_accepts_no_more_and_leaves_the_queue(plane: Plane) -> None:
    plane.begin()
    plane.channel.order(Stop(60))
    plane.hear(Snapshot)
    plane.hear(Stopped)
    client = client_of(plane.port)
    ((sock),) = [slots[0] for endpoint, slots in plane.sockets.items() if endpoint.kind == "stream"]
    fd, _ = sock._accept()
    consts.close(fd)
    client.close()


class WiredChannel(LocalChannel):
    """Orders come as from another process: the hub sees them where it sees clients, and in the same turn."""

    def __init__(self) -> None:
        super().__init__()
        self._here, self._there = consts.socketpair()
        self._here.setblocking(False)
        self._readable = Readiness(self._here.fileno(), READ)

    def order(self, message: ToData) -> None:
        super().order(message)
        self._there.send(b"x")

    def receive(self) -> tuple[ToData, int | None]:
        while True:
            try:
                self._here.recv(1)
            except BlockingIOError:
                self._readable.wait()
            else:
                return super().receive()

    def close(self) -> None:
        self._readable.close()
        self._here.close()
        self._there.close()


@pytest.mark.parametrize("first", ["the order", "the client"])
def test_who_comes_together_with_the_order_to_stop_is_served_or_left_in_the_queue(tmp_path: Path, first: str) -> None:
    channel = WiredChannel()
    plane = Plane(tmp_path, channel)
    plane.begin()
    for _ in range(2):
        sleep(0.001)  # a turn of the hub, which sees then that nothing is there
    if first == "the order":
        channel.order(Stop(60))
    client = client_of(plane.port)
    if first == "the client":
        channel.order(Stop(60))

    def target() -> None:
        wait_until(lambda: plane.reached, "the target is not reached")
        exchange(client, plane.reached[0])
        for stream in (client, plane.reached[0]):
            stream.close()

    with Group("target") as group:
        group.spawn(target)
        snapshot = plane.hear(Snapshot)
    plane.hear(Stopped)
    channel.order(AskSnapshot())
    assert plane.hear(Snapshot) == snapshot, "somebody is being served after the last word"
    assert snapshot.opened == snapshot.statuses.get("ok", 0) == 1 - queued(plane)
    client.close()
    plane.close()
    channel.close()


def queued(plane: Plane) -> int:
    """How many have not been accepted."""
    [sock] = [slots[0] for endpoint, slots in plane.sockets.items() if endpoint.kind == "stream"]
    try:
        fd, _ = sock._accept()
    except BlockingIOError:
        return 0
    consts.close(fd)
    return 1


@pytest.mark.parametrize(
    "orders", [[Stop(0.01)], [Stop(3600), StopNow()], [Stop(3600), Stop(0.01)], [Stop(0.01), Stop(3600)], [StopNow()]]
)
def test_a_session_that_does_not_end_is_ended(plane: Plane, orders: list[Stop | StopNow]) -> None:
    plane.begin()
    client, target = plane.connect()
    for order in orders:
        plane.channel.order(order)
    assert plane.hear(Snapshot).statuses == {"closed-drained": 1}
    assert plane.hear(Stopped) == Stopped(1)
    for stream in (client, target):
        with deadline(30, TimeoutError()), contextlib.suppress(StreamClosed):
            assert stream.recv() == b""
    client.close()


def test_a_plane_that_yields_goes_on_with_its_sessions(plane: Plane) -> None:
    plane.begin()
    client, target = plane.connect()
    packets = socket(consts.AF_INET, consts.SOCK_DGRAM)
    packets.connect(("127.0.0.1", plane.port))
    packets.send(b"x")
    wait_until(lambda: plane.house.meter.opened == 2, "the datagram is not served")
    plane.channel.order(Yield())
    handover = plane.hear(Handover)
    assert (handover.endpoint, handover.slot, handover.clients) == (1, 0, [packets.getsockname()])
    plane.hear(Yielded)
    exchange(client, target)
    late = client_of(plane.port)
    plane.channel.order(AskSnapshot())
    assert plane.hear(Snapshot).opened == 2
    for thing in (client, late, packets):
        thing.close()
    plane.channel.order(Stop(0))
    plane.hear(Snapshot)
    plane.hear(Stopped)


def test_the_log_is_opened_anew(plane: Plane) -> None:
    plane.begin()
    plane.log.rename(plane.log.with_suffix(".1"))
    plane.channel.order(Reopen())
    plane.channel.order(AskSnapshot())
    plane.hear(Snapshot)
    assert plane.log.exists()


def test_a_log_that_can_not_be_opened_anew_is_no_reason_to_end(plane: Plane) -> None:
    plane.begin()
    plane.log.rename(plane.log.with_suffix(".1"))
    plane.log.mkdir()
    plane.channel.order(Reopen())
    plane.channel.order(AskSnapshot())
    plane.hear(Snapshot)


def test_a_plane_that_has_yielded_can_go_on(plane: Plane) -> None:
    """What it made room for did not come: clients of before and new ones are served."""
    plane.begin()
    client, target = plane.connect()
    packets = socket(consts.AF_INET, consts.SOCK_DGRAM)
    packets.connect(("127.0.0.1", plane.port))
    packets.send(b"x")
    wait_until(lambda: plane.house.meter.opened == 2, "the datagram is not served")
    plane.channel.order(Yield())
    plane.hear(Handover)
    plane.hear(Yielded)
    late = client_of(plane.port)
    plane.channel.order(Serve())
    plane.hear(Serving)
    wait_until(lambda: len(plane.reached) == 2, "the one in the queue is not served")
    exchange(client, target)
    exchange(late, plane.reached[1])
    packets.send(b"y")
    plane.channel.order(AskSnapshot())
    assert plane.hear(Snapshot).opened == 3, "the datagrams' session is still the same"
    for thing in (client, late, packets):
        thing.close()


def test_flows_that_can_not_be_handed_over_hold_up_nothing(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room() -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    plane.begin()
    packets = socket(consts.AF_INET, consts.SOCK_DGRAM)
    packets.connect(("127.0.0.1", plane.port))
    packets.send(b"x")
    wait_until(lambda: plane.house.meter.opened == 1, "the datagram is not served")
    monkeypatch.setattr("gproxy.net.demux.make_link", no_room)
    plane.channel.order(Yield())
    plane.hear(Yielded)
    packets.close()


def test_what_users_have_moved_is_told_each_second_and_at_the_end(plane: Plane) -> None:
    plane.begin()
    account = plane.house.meter.enter("in", "ada", "tcp")
    account.way("out").up += 5
    assert plane.hear(Traffic).rows == [["in", "ada", 5, 0, 0, 0, 1, 0]]
    account.way("out").down += 7
    plane.channel.order(StopNow())
    plane.hear(Snapshot)
    assert plane.hear(Traffic).rows == [["in", "ada", 0, 7, 0, 0, 0, 0]]
    plane.hear(Stopped)


class Keys:
    """A managed inbound."""

    def __init__(self) -> None:
        self.users: list[tuple[str, str]] | None = None

    def manage(self, users: Sequence[tuple[str, str]]) -> None:
        self.users = list(users)


def test_who_is_no_user_any_more_has_no_open_sessions(plane: Plane) -> None:
    keys = plane.house.managed["in"] = Keys()
    plane.begin()
    clients = [plane.connect() for _ in range(4)]
    live = [session for session, _ in plane.house.table._live.values()]
    for session, user in zip(live, ("ada", "bob", "eve", None), strict=True):
        session.user = user
    plane.channel.order(Users("in", [["ada", "1"], ["bob", "1"], ["eve", "1"]]))
    plane.channel.order(Users("elsewhere", []))
    plane.channel.order(Users("in", [["bob", "2"], ["eve", "1"], ["new", "1"]]))
    wait_until(lambda: keys.users == [("bob", "2"), ("eve", "1"), ("new", "1")], "not told")
    wait_until(lambda: len(plane.house.table) == 2, "not ended")
    assert {session.user for session, _ in plane.house.table._live.values()} == {"eve", None}
    for one, other in clients[2:]:
        exchange(one, other)
    for one, _ in clients:
        one.close()


def test_certificates_go_to_those_who_show_them(plane: Plane) -> None:
    taken: list[tuple[str, str, dict[str, str]]] = []

    class Shown:
        def take(self, provider: str, certificate: str, challenges: dict[str, str]) -> None:
            taken.append((provider, certificate, challenges))

    object.__setattr__(plane.house, "certificates", Shown())
    plane.begin()
    plane.channel.order(Supplied("provider c", "pem", {"site.test": "proof"}))
    wait_until(lambda: taken == [("provider c", "pem", {"site.test": "proof"})], "not told")


class Questions:
    """An inbound that answers in capitals: at once, or for `slow…` after `go`."""

    def __init__(self) -> None:
        self.go = Event()
        self.working = 0

    def answer(self, data: bytes, name: Any) -> bytes | Later:
        return partial(self.work, data) if data.startswith(b"slow") else data.upper()

    def work(self, data: bytes) -> bytes:
        self.working += 1
        self.go.wait()
        return data.upper()


class QueryPlane(Plane):
    """A plane whose door is for questions; a second one may be on the same socket."""

    def __init__(self, folder: Path, sockets: dict[Endpoint, dict[int, socket]] | None = None, port: int = 0) -> None:
        self.port = port or free_port()
        self.questions = Questions()
        self.house = house_of(inbounds=[{"type": "dns", "tag": "in", "listen_port": self.port, "network": "udp"}])
        [door] = self.house.doors
        self.house.doors[:] = [replace(door, entrance=QueryEntrance(self.questions.answer))]
        self.sockets = sockets_of(self.house) if sockets is None else sockets
        self.channel = LocalChannel()
        self._stopped = False
        self._sink = Sink(str(folder / "log"))
        self._group = Group("test")
        self._group.spawn(DataPlane(self.house, self.sockets, self._sink).serve, self.channel)

    def stop(self) -> None:
        with deadline(30, TimeoutError("it does not stop")):
            while not self._stopped:
                self._stopped = isinstance(self.channel.hear(), Stopped)
        self._group.kill()
        self._sink.close()
        os.close(self._sink._fd)


def ask(sock: socket, *questions: bytes) -> None:
    for question in questions:
        sock.send(question)


def hear_from(sock: socket) -> bytes:
    heard: list[bytes] = []

    def there() -> bool:
        with contextlib.suppress(BlockingIOError):
            heard.append(sock.recv(1000))
        return bool(heard)

    wait_until(there, "no answer")
    return heard[0]


def test_no_question_is_lost_when_one_plane_follows_another(tmp_path: Path) -> None:
    one = QueryPlane(tmp_path)
    client = socket(consts.AF_INET, consts.SOCK_DGRAM)
    client.connect(("127.0.0.1", one.port))
    client.setblocking(False)
    one.begin()
    ask(client, b"slow one", b"quick")
    assert hear_from(client) == b"QUICK"
    other = QueryPlane(tmp_path, one.sockets, one.port)
    other.hear(Prepared)
    one.channel.order(Yield())
    one.hear(Yielded)
    ask(client, b"between")
    other.channel.order(Serve())
    other.hear(Serving)
    assert hear_from(client) == b"BETWEEN"
    one.channel.order(Stop(60))
    one.questions.go.set()
    assert hear_from(client) == b"SLOW ONE"
    assert one.hear(Snapshot).statuses == {"query": 2}
    one.stop()
    other.channel.order(AskSnapshot())
    assert other.hear(Snapshot).statuses == {"query": 1}
    other.channel.order(StopNow())
    other.stop()
    client.close()
    for slots in one.sockets.values():
        for sock in slots.values():
            sock.close()


def test_a_look_into_it_while_it_serves(plane: Plane) -> None:
    plane.begin()
    plane.channel.order(AskDebug(5, "memory", 1.0))
    seen = plane.hear(Debugged)
    assert (seen.request, seen.pid) == (5, os.getpid())
    assert seen.facts["resident"] > 0


def test_where_a_connection_would_go(plane: Plane) -> None:
    plane.begin()
    plane.channel.order(AskDebug(6, "explain", 1.0, 0, {"target": "192.0.2.1:1"}))
    assert plane.hear(Debugged).facts["explained"]["verdict"] == "direct"
    plane.channel.order(AskDebug(7, "explain", 1.0, 0, {"target": "nowhere"}))
    assert "nowhere" in plane.hear(Debugged).facts["error"]
