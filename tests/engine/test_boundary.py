from __future__ import annotations

import _socket
import logging
import os
import socket
from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Address
from typing import Any

import pytest
from greenlet import GreenletExit

from gproxy.base.address import UNSPECIFIED, Address
from gproxy.base.errors import AuthError, DialError, GproxyError, Overloaded, ProtocolError, StreamClosed
from gproxy.base.session import Owner, Session
from gproxy.engine.boundary import Boundary
from gproxy.engine.table import Table
from gproxy.net.stream import SocketStream
from gproxy.observe.meter import Meter
from gproxy.route.facts import Needs
from gproxy.rt.deadline import deadline
from gproxy.rt.sync import Event
from tests.support.packets import MemoryPackets
from tests.support.pipe import pipe

NAME = ("192.0.2.7", 40000)
LOCAL = Address(IPv4Address("192.0.2.1"), 1080)


class House:
    def __init__(self) -> None:
        self.table = Table()
        self.meter = Meter()
        self.boundary = Boundary("in", self.table, self.meter, udp_timeout=7.0)
        self.stream, _ = pipe(bound=LOCAL)
        self.session: Session | None = None

    def serve(self, run: Callable[[], Any], name: Any = NAME, local: Address | None = None) -> None:
        def accept(stream: object, session: Session) -> None:
            self.session = session
            assert (self.meter.active, len(self.table)) == (1, 1)
            run()

        self.boundary.stream(accept, self.stream, name, local)

    def is_clean(self) -> bool:
        return self.stream.closed and self.meter.active == 0 and len(self.table) == 0


def raising(error: BaseException) -> Callable[[], None]:
    def run() -> None:
        raise error

    return run


def test_an_accepted_stream_becomes_a_session() -> None:
    house = House()
    house.serve(lambda: None)
    session = house.session
    assert session is not None
    assert (session.id, session.network, session.inbound) == (1, "tcp", "in")
    assert (session.source, session.target, session.local) == (
        Address(IPv4Address(NAME[0]), NAME[1]),
        UNSPECIFIED,
        LOCAL,
    )
    assert session.udp_timeout == 7.0
    assert house.is_clean()
    assert house.meter.opened == 1
    assert house.meter.statuses == {}  # whoever dispatches it records it


def test_what_the_listener_knows_is_not_asked_again() -> None:
    house = House()
    known = Address(IPv4Address("192.0.2.2"), 1)
    house.serve(lambda: None, local=known)
    assert house.session is not None
    assert house.session.local == known


@pytest.mark.parametrize("name", ["", b"", b"\0abstract", None])
def test_a_client_of_a_unix_socket_has_no_address(name: object) -> None:
    house = House()
    house.serve(lambda: None, name=name)
    assert house.session is not None
    assert house.session.source == UNSPECIFIED


def test_a_mapped_address_is_what_it_means() -> None:
    house = House()
    house.serve(lambda: None, name=("::ffff:192.0.2.7", 1, 0, 0))
    assert house.session is not None
    assert house.session.source == Address(IPv4Address("192.0.2.7"), 1)


@pytest.mark.parametrize(
    "error",
    [
        ProtocolError("odd", reason="version"), AuthError("who?"), DialError("no", reason="refused"),
        StreamClosed("gone"), StreamClosed("ended here", reason="drained"), Overloaded("full"), GproxyError("other"),
    ],
)  # fmt: skip
def test_a_known_failure_is_one_line_and_one_count(error: GproxyError, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    house = House()
    house.serve(raising(error))
    assert house.is_clean()
    assert house.meter.statuses == {error.word: 1}
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert record.getMessage().endswith(f" {error.word}: {error}")


def test_a_client_that_says_nothing_is_not_worth_a_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    house = House()
    house.serve(raising(ProtocolError("nothing", reason="empty")))
    assert caplog.records == []
    assert house.meter.statuses == {"protocol-empty": 1}


@pytest.mark.parametrize("error", [KeyError("x"), OSError("x"), AssertionError("x"), RecursionError(), ValueError()])
def test_a_fault_of_ours_is_logged_in_full_and_goes_no_further(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    house = House()
    house.serve(raising(error))
    assert house.is_clean()
    assert house.meter.statuses == {"error": 1}
    (record,) = caplog.records
    assert (record.levelno, record.exc_info is not None) == (logging.ERROR, True)


def test_a_kill_closes_too() -> None:
    house = House()
    with pytest.raises(GreenletExit):
        house.serve(raising(GreenletExit()))
    assert house.is_clean()


def test_a_deadline_of_a_handshake() -> None:
    house = House()

    def run() -> None:
        with deadline(0.001, ProtocolError("too slow", reason="timeout")):
            Event().wait()

    house.serve(run)
    assert house.is_clean()
    assert house.meter.statuses == {"protocol-timeout": 1}


def test_datagrams_have_a_session_too(caplog: pytest.LogCaptureFixture) -> None:
    house, conn = House(), MemoryPackets()
    sessions: list[Session] = []
    source = Address(IPv4Address("192.0.2.7"), 53)
    house.boundary.packets(lambda conn, session: sessions.append(session), conn, source, LOCAL)
    (session,) = sessions
    assert (session.network, session.source, session.target, session.local) == ("udp", source, LOCAL, LOCAL)
    assert session.udp_timeout == 7.0
    assert conn.closed
    assert (house.meter.opened, house.meter.active, len(house.table)) == (1, 0, 0)


def test_a_stream_within_a_session_is_a_session_of_its_own() -> None:
    house = House()
    within, _ = pipe()
    seen: list[Session] = []

    def accept(stream: object, session: Session) -> None:
        seen.append(session)
        session.user = "me"
        assert (house.meter.active, len(house.table)) == (2, 2)
        raise ProtocolError("nonsense", reason="x")

    def branching() -> None:
        assert house.session is not None
        house.session.carries = True
        house.boundary.branch(accept, within, house.session)

    house.serve(branching)
    assert house.session is not None
    assert (seen[0].id, seen[0].source, seen[0].inbound) == (2, house.session.source, "in")
    assert not seen[0].carries
    assert house.session.user is None
    assert within.closed
    assert house.meter.statuses == {"protocol-x": 1}
    assert house.is_clean()


def test_a_fault_in_a_burst_goes_no_further(caplog: pytest.LogCaptureFixture) -> None:
    house = House()
    house.boundary.burst(raising(ValueError("secret")))
    house.boundary.burst(lambda: None)
    assert house.meter.statuses == {"error": 1}
    assert "a fault of gproxy" in caplog.text


def test_work_on_a_datagram_gives_an_answer_or_nothing() -> None:
    house = House()

    def find(data: bytes) -> bytes:
        if data == b"dial":
            raise DialError("no", reason="dns")
        if data == b"fault":
            raise ValueError("secret")
        return data.upper()

    said = [house.boundary.later(partial(find, data)) for data in (b"one", b"dial", b"fault")]
    assert said == [b"ONE", b"", b""]
    assert house.meter.statuses == {"dial-dns": 1, "error": 1}


def test_questions_are_counted() -> None:
    house = House()
    house.boundary.counted(3, 0, 90, 300)
    house.boundary.counted(0, 2, 0, 0)
    house.boundary.counted_one()
    assert house.meter.statuses == {"query": 4, "query-dropped": 2}
    assert (house.meter.up, house.meter.down) == (90, 300)
    assert (house.meter.opened, house.meter.active) == (0, 0)


def test_a_clients_code_point_is_looked_at_if_a_rule_asks() -> None:
    needs = Needs()
    boundary = Boundary("in", Table(), Meter(), needs=needs)
    seen: list[int] = []
    server = socket.create_server(("127.0.0.1", 0))
    for ask, wanted in ((False, 0), (True, 46)):
        if ask:
            needs.ask("dscp")
        assert boundary.marked is ask
        client = socket.socket()
        client.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 46 << 2)
        client.connect(server.getsockname())
        accepted, name = server.accept()
        ours = SocketStream(_socket.socket(fileno=accepted.detach()))
        boundary.stream(lambda stream, session: seen.append(session.dscp), ours, name, None)
        client.close()
        assert seen[-1] == wanted
    server.close()
    boundary.packets(lambda conn, session: seen.append(session.dscp), MemoryPackets(), LOCAL, LOCAL, 10)
    assert seen[-1] == 10


def test_the_client_of_a_unix_socket_is_known_if_a_rule_asks() -> None:
    needs = Needs()
    boundary = Boundary("in", Table(), Meter(), needs=needs)
    seen: list[Owner | None] = []
    for ask in (False, True):
        if ask:
            needs.ask("owner")
        near, far = socket.socketpair()
        ours = SocketStream(_socket.socket(fileno=near.detach()))
        boundary.stream(lambda stream, session: seen.append(session.owner), ours, "", None)
        far.close()
    assert seen[0] is None
    assert seen[1] is not None
    assert seen[1].user_id == os.getuid()


def test_what_comes_to_an_inbound_is_counted_there() -> None:
    house = House()
    door = house.meter.doors["in"]

    def look() -> None:
        assert (door.opened, door.active) == (1, 1)
        assert house.session is not None
        assert house.session.began > 0

    house.serve(look)
    assert (door.opened, door.active) == (1, 0)
    house.boundary.counted(3, 2, 100, 200)
    house.boundary.counted_one()
    assert (door.queries, door.dropped) == (4, 2)


def test_a_failed_handshake_is_the_inbound_s() -> None:
    house = House()
    house.meter.detailed = True
    house.serve(raising(AuthError("no")))
    assert house.meter.ends == {("in", "", "", "auth"): 1}


def test_who_looks_at_failures_is_told_once_and_before_the_client() -> None:
    house = House()
    told: list[tuple[Exception, bool]] = []

    class Watcher:
        def failed(self, session: Session, why: Exception) -> None:
            told.append((why, house.stream.closed))

    def fail(early: bool) -> None:
        assert house.session is not None
        house.session.watcher = Watcher()
        why = AuthError("wrong")
        if early:
            house.session.fail(why)
        raise why

    for early in (False, True):
        house.stream, _ = pipe(bound=LOCAL)
        house.serve(partial(fail, early))
    assert [(str(why), closed) for why, closed in told] == [("wrong", False)] * 2
    assert house.is_clean()
