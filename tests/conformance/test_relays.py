"""What every relay keeps, whichever pump moves the bytes."""

from __future__ import annotations

import hashlib
import random
import socket as consts
from _socket import socket
from collections.abc import Iterator

import pytest

from gproxy.base.address import UNSPECIFIED
from gproxy.base.errors import CloseReason, StreamClosed
from gproxy.base.iface import Stream
from gproxy.base.session import Session
from gproxy.engine.table import Table
from gproxy.net.buffered import Buffered
from gproxy.relay import Outcome, Terms, pick, relay
from gproxy.relay.idle import SWEEPER
from gproxy.relay.pump import Pump
from gproxy.relay.splice import Pipe
from gproxy.relay.terms import DEFAULT_TERMS, FREE, Tolls
from gproxy.rt.deadline import deadline
from gproxy.rt.group import Group
from gproxy.rt.sync import Event, sleep
from tests.conformance.relays import PUMPS, Sides
from tests.conformance.streams import KERNEL_BUFFER
from tests.support.clock import HeldClock
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks", "no_spare_pipes")

MIB = 1 << 20
SIZES = [0, 1, 1000, 64 * 1024 + 1, 256 * 1024, 256 * 1024 + 1, MIB + 17, 5 * MIB + 3]
CONTENT = random.Random(2).randbytes(max(SIZES))


@pytest.fixture(params=PUMPS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def sides(kind: str) -> Iterator[Sides]:
    sides = PUMPS[kind][0]()
    yield sides
    sides.close()


@pytest.fixture
def big(sides: Sides) -> Sides:
    """The same with kernel buffers large enough for splice to begin, where there are any."""
    for stream in (sides.client, sides.left, sides.right, sides.server):
        fd, record = stream.bare(), stream.record()
        if record is not None:
            fd = record.fd
        if fd is not None:
            sock = socket(fileno=fd)
            sock.setsockopt(consts.SOL_SOCKET, consts.SO_SNDBUF, 2 * MIB)
            sock.setsockopt(consts.SOL_SOCKET, consts.SO_RCVBUF, 2 * MIB)
            sock.detach()
    return sides


@pytest.fixture
def no_spare_pipes() -> Iterator[None]:
    """Pipes are kept for the next relay: that is no leak, but would look like one."""
    _drop_pipes()
    yield
    _drop_pipes()


def _drop_pipes() -> None:
    while Pipe._spare:
        Pipe._spare.pop().destroy()


class Run:
    """A relay in a greenlet of its own, and the group that plays both peers."""

    def __init__(
        self, sides: Sides, terms: Terms = DEFAULT_TERMS, table: Table | None = None, tolls: Tolls = FREE
    ) -> None:
        self.group = Group("test")
        self.outcome: Outcome | None = None
        self.session = Session(1, "tcp", "in", UNSPECIFIED, UNSPECIFIED)
        self._table = Table() if table is None else table
        self._over = Event()
        self.group.spawn(self._run, sides, terms, tolls)
        sleep(0)

    def _run(self, sides: Sides, terms: Terms, tolls: Tolls) -> None:
        self._table.add(self.session)
        try:
            self.outcome = relay(sides.left, sides.right, terms, tolls=tolls)
        finally:
            sides.left.close()
            sides.right.close()
            self._over.set()

    @property
    def over(self) -> bool:
        return self._over.is_set()

    def end(self) -> Outcome:
        assert self._over.wait(10), "the relay does not end"
        assert self.outcome is not None
        return self.outcome

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *error: object) -> None:
        self.group.kill()


def send(stream: Stream, data: bytes, end: bool = True) -> None:
    stream.sendall(data)
    if end:
        stream.close_write()


def read_all(stream: Stream) -> bytes:
    pieces = []
    while piece := stream.recv():
        pieces.append(piece)
    return b"".join(pieces)


def read_exactly(stream: Stream, count: int) -> bytes:
    received = b""
    while len(received) < count:
        piece = stream.recv()
        assert piece, "the end came early"
        received += piece
    assert len(received) == count
    return received


def come_to_rest() -> None:
    """Let the loop look at its descriptors so often that whoever can move has moved; `sleep(0)` does not look."""
    for _ in range(20):
        sleep(0.0005)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_the_right_pump_is_chosen(sides: Sides, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[type] = []
    for name in ("Pump", "Copy"):
        real = getattr(pick, name)
        monkeypatch.setattr(pick, name, lambda *args, real=real: chosen.append(real) or real(*args))
    with Run(sides) as run:
        sides.client.close_write()
        sides.server.close_write()
        run.end()
    assert chosen == [PUMPS[kind][1]]


@pytest.mark.parametrize("size", SIZES)
def test_every_byte_arrives_both_ways_and_is_counted(big: Sides, size: int) -> None:
    up, down = CONTENT[:size], CONTENT[-size:] if size else b""
    got: dict[str, bytes] = {}
    with Run(big) as run:
        run.group.spawn(send, big.client, up)
        run.group.spawn(send, big.server, down)
        run.group.spawn(lambda: got.update(down=read_all(big.client)))
        run.group.spawn(lambda: got.update(up=read_all(big.server)))
        outcome = run.end()
        run.group.join(30)
    assert sha(got["up"]) == sha(up)
    assert sha(got["down"]) == sha(down)
    assert (outcome.up, outcome.down, outcome.ended, outcome.culprit) == (size, size, "ok", "")


class FixedToll:
    """Each piece costs so many seconds, in the order in which they were paid."""

    def __init__(self, piece: int, *costs: float, slack: int = 0) -> None:
        self.piece = piece
        self.slack = slack
        self.paid: list[int] = []
        self._costs = costs

    def pay(self, size: int) -> float:
        self.paid.append(size)
        return self._costs[len(self.paid) - 1] if len(self.paid) <= len(self._costs) else 0.0


def paying(sides: Sides, up: FixedToll, down: FixedToll) -> tuple[Outcome, dict[str, bytes]]:
    """A MiB each way, and 17 bytes more up: how it ended, and what has come."""
    got: dict[str, bytes] = {}
    with Run(sides, tolls=Tolls(up, down)) as run:
        run.group.spawn(send, sides.client, CONTENT[: MIB + 17])
        run.group.spawn(send, sides.server, CONTENT[-MIB:])
        run.group.spawn(lambda: got.update(down=read_all(sides.client)))
        run.group.spawn(lambda: got.update(up=read_all(sides.server)))
        outcome = run.end()
        run.group.join(30)
    return outcome, got


@pytest.mark.parametrize("piece", [4096, 100_000, 256 * 1024])
def test_what_is_moved_is_paid_for(big: Sides, kind: str, piece: int) -> None:
    up, down = FixedToll(piece, *(0.001,) * 20), FixedToll(piece, *(0.001, 0.0) * 10)
    outcome, got = paying(big, up, down)
    assert sha(got["up"]) == sha(CONTENT[: MIB + 17])
    assert sha(got["down"]) == sha(CONTENT[-MIB:])
    assert (outcome.up, outcome.down, outcome.ended) == (MIB + 17, MIB, "ok")
    assert (sum(up.paid), sum(down.paid)) == (MIB + 17, MIB)
    if PUMPS[kind][1] is Pump:
        # What was kept of an incomplete record may come on top.
        assert max(up.paid + down.paid) <= piece + 70_000 * (big.left.bare() is None or big.right.bare() is None)


def test_what_may_be_paid_later_is_paid_at_the_end(big: Sides) -> None:
    up, down = (FixedToll(4096, slack=slack) for slack in (100_000, 10 * MIB))
    paying(big, up, down)
    assert (sum(up.paid), sum(down.paid)) == (MIB + 17, MIB)


def test_who_has_to_wait_moves_nothing_and_the_other_direction_goes_on(sides: Sides) -> None:
    with Run(sides, tolls=Tolls(FixedToll(4096, 60.0), None)) as run:
        sides.client.sendall(b"first")
        assert read_exactly(sides.server, 5) == b"first"
        sides.client.sendall(b"second")
        for _ in range(3):
            sides.server.sendall(b"answer")
            assert read_exactly(sides.client, 6) == b"answer"
        with pytest.raises(Silence), deadline(0.05, Silence()):
            sides.server.recv()
        assert not run.over
    assert run.outcome is None or run.outcome.up == 5


class Silence(Exception):
    pass


def test_an_end_that_comes_while_it_waits(sides: Sides) -> None:
    toll = FixedToll(4096, 0.05)
    with Run(sides, tolls=Tolls(toll, None)) as run:
        sides.client.sendall(b"all")
        sides.client.close_write()
        assert read_all(sides.server) == b"all"
        sides.server.close_write()
        assert (run.end().ended, toll.paid) == ("ok", [3])


def test_what_was_read_ahead_is_paid_for_too(sides: Sides) -> None:
    toll = FixedToll(4096, 0.001)
    sides.left = Buffered(sides.left, b"ahead")
    with Run(sides, tolls=Tolls(toll, None)) as run:
        assert read_exactly(sides.server, 5) == b"ahead"
        sides.client.close_write()
        sides.server.close_write()
        run.end()
    assert toll.paid == [5]


def test_many_small_exchanges(sides: Sides) -> None:
    with Run(sides) as run:
        for number in range(50):
            question, answer = b"q%d" % number, b"a%d" % number
            sides.client.sendall(question)
            assert read_exactly(sides.server, len(question)) == question
            sides.server.sendall(answer)
            assert read_exactly(sides.client, len(answer)) == answer
        sides.client.close_write()
        sides.server.close_write()
        outcome = run.end()
    assert outcome.up == outcome.down == sum(len(b"q%d" % number) for number in range(50))


@pytest.mark.parametrize("mib", [1, 16])
def test_a_reader_that_does_not_read_stops_the_sender(sides: Sides, mib: int) -> None:
    """Whatever is sent, what is on its way is bounded: by kernel buffers, one scratch and one pipe."""
    with Run(sides) as run:
        sent = 0

        def push() -> None:
            nonlocal sent
            while sent < mib * MIB:
                sides.client.sendall(CONTENT[: 16 * 1024])
                sent += 16 * 1024

        run.group.spawn(push)
        last = -1
        while last != sent:  # until it has come to rest
            last = sent
            come_to_rest()
        assert sent < 12 * KERNEL_BUFFER
        received = 0
        while received < mib * MIB:
            received += len(sides.server.recv())
        sides.client.close_write()
        sides.server.close_write()
        assert run.end().up == received == sent == mib * MIB


def test_a_slow_reader_of_bulk_gets_all(big: Sides) -> None:
    size = 6 * MIB
    with Run(big) as run:
        run.group.spawn(send, big.client, CONTENT[: 5 * MIB] + CONTENT[:MIB])
        come_to_rest()
        digest, received = hashlib.sha256(), 0
        while piece := big.server.recv():
            digest.update(piece)
            received += len(piece)
            sleep(0)
        big.server.close_write()
        outcome = run.end()
    assert received == outcome.up == size
    assert digest.hexdigest() == sha(CONTENT[: 5 * MIB] + CONTENT[:MIB])


@pytest.mark.parametrize("first", ["client", "server"])
def test_a_half_close_is_kept(sides: Sides, first: str) -> None:
    one, other = (sides.client, sides.server) if first == "client" else (sides.server, sides.client)
    with Run(sides) as run:
        send(one, b"question")
        assert read_all(other) == b"question"
        for _ in range(5):
            other.sendall(b"part")
            assert read_exactly(one, 4) == b"part"
        assert not run.over
        other.close_write()
        assert read_all(one) == b""
        outcome = run.end()
    assert (outcome.ended, outcome.culprit) == ("ok", "")
    assert {outcome.up, outcome.down} == {8, 20}


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_side_that_had_ended_before_the_relay_began(sides: Sides, side: str) -> None:
    one, other = (sides.client, sides.server) if side == "left" else (sides.server, sides.client)
    one.close_write()
    assert getattr(sides, side).recv() == b""
    with Run(sides) as run:
        assert read_all(other) == b""
        send(other, b"late")
        assert read_all(one) == b"late"
        assert run.end().ended == "ok"


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_reset_ends_both_directions_and_names_the_culprit(sides: Sides, kind: str, side: str) -> None:
    broken = sides.client if side == "left" else sides.server
    with Run(sides) as run:
        sides.client.sendall(b"up")
        read_exactly(sides.server, 2)
        broken.abort()
        if kind == "unix":  # an abort is a close there, and shows when somebody writes
            (sides.server if side == "left" else sides.client).sendall(b"anybody?")
        outcome = run.end()
    assert (outcome.ended, outcome.culprit) == ("reset", "" if kind == "unix" else side)
    assert outcome.up >= 2


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_reset_is_noticed_while_bytes_wait_for_that_side(big: Sides, kind: str, side: str) -> None:
    broken, other = (big.client, big.server) if side == "left" else (big.server, big.client)
    with Run(big) as run:
        run.group.spawn(send, other, CONTENT)
        come_to_rest()
        broken.abort()
        outcome = run.end()
    assert (outcome.ended, outcome.culprit) == ("reset", "" if kind == "unix" and not outcome.culprit else side)


def test_an_answer_that_comes_before_all_was_heard_is_delivered(sides: Sides) -> None:
    with Run(sides) as run:
        run.group.spawn(send, sides.client, CONTENT)
        assert sides.server.recv()  # the rest stays unread, so that the close is a reset
        sides.server.sendall(b"too long")
        sides.server.close()
        assert read_exactly(sides.client, 8) == b"too long"
        run.end()


@pytest.mark.parametrize("where", ["left", "right"])
def test_what_was_read_ahead_comes_first(sides: Sides, where: str) -> None:
    setattr(sides, where, Buffered(getattr(sides, where), b"early "))
    sender, reader = (sides.client, sides.server) if where == "left" else (sides.server, sides.client)
    with Run(sides) as run:
        send(sender, b"and late")
        assert read_all(reader) == b"early and late"
        reader.close_write()
        outcome = run.end()
    assert (outcome.up, outcome.down) == ((14, 0) if where == "left" else (0, 14))


@pytest.mark.parametrize("where", ["left", "right"])
def test_what_was_read_ahead_for_a_side_that_is_gone(sides: Sides, where: str) -> None:
    setattr(sides, where, Buffered(getattr(sides, where), b"early"))
    gone = "right" if where == "left" else "left"
    getattr(sides, gone).close_write()  # so that sending there fails at once
    outcome = relay(sides.left, sides.right)
    assert outcome.culprit == gone
    assert outcome.ended == "local"


IDLE = Terms(idle=100, half_close_idle=10)


def test_silence_ends_it_and_bytes_put_that_off(sides: Sides, held_clock: HeldClock) -> None:
    with Run(sides, IDLE) as run:
        SWEEPER.sweep()
        held_clock.advance(99)
        sides.client.sendall(b"x")
        read_exactly(sides.server, 1)
        SWEEPER.sweep()
        held_clock.advance(99)
        SWEEPER.sweep()
        sleep(0)
        assert not run.over
        held_clock.advance(1)
        SWEEPER.sweep()
        outcome = run.end()
    assert (outcome.ended, outcome.culprit, outcome.up) == ("idle", "", 1)
    assert outcome.seconds == 199


@pytest.mark.parametrize("first", ["client", "server"])
def test_after_a_half_close_silence_may_last_less_long(sides: Sides, held_clock: HeldClock, first: str) -> None:
    with Run(sides, IDLE) as run:
        getattr(sides, first).close_write()
        assert read_all(sides.server if first == "client" else sides.client) == b""
        SWEEPER.sweep()
        held_clock.advance(9)
        SWEEPER.sweep()
        sleep(0)
        assert not run.over
        held_clock.advance(1)
        SWEEPER.sweep()
        assert run.end().ended == "idle"


def test_the_patience_after_a_half_close_begins_with_it(sides: Sides, held_clock: HeldClock) -> None:
    """Whoever says goodbye after a long silence gets an answer too."""
    with Run(sides, IDLE) as run:
        SWEEPER.sweep()
        held_clock.advance(90)
        sides.client.close_write()
        assert read_all(sides.server) == b""
        SWEEPER.sweep()
        sleep(0)
        sleep(0)
        assert not run.over
        sides.server.sendall(b"answer")
        sides.server.close_write()
        assert read_all(sides.client) == b"answer"
        assert run.end().ended == "ok"


def test_expiry_and_the_end_at_the_same_turn(sides: Sides, held_clock: HeldClock) -> None:
    """An expiry that comes too late must hit nobody else."""
    after: list[str] = []

    def serve() -> None:
        relay(sides.left, sides.right, IDLE)
        try:
            sleep(0.01)
        except StreamClosed as error:
            after.append(error.reason)

    with Group("test") as group:
        group.spawn(serve)
        sleep(0)
        SWEEPER.sweep()
        held_clock.advance(100)
        sides.client.close_write()
        sides.server.close_write()
        wait_until(lambda: not SWEEPER._all or SWEEPER.sweep(), "the relay does not end")
        group.join(30)
    assert after == []


@pytest.mark.parametrize("reason", ["killed", "drained"])
@pytest.mark.parametrize("busy", [False, True])
def test_an_end_from_outside(sides: Sides, reason: CloseReason, busy: bool) -> None:
    table = Table()
    with Run(sides, table=table) as run:
        if busy:
            run.group.spawn(send, sides.client, CONTENT)
            run.group.spawn(send, sides.server, CONTENT)
            come_to_rest()
        assert table.end(run.session.id, reason)
        outcome = run.end()
    assert (outcome.ended, outcome.culprit) == (reason, "")


def test_a_kill_leaves_nothing_behind(sides: Sides) -> None:
    run = Run(sides)
    run.group.spawn(send, sides.client, CONTENT)
    come_to_rest()
    run.group.kill()
    assert not SWEEPER._all
    sides.client.close()
    sides.left.close()


def test_nothing_is_watched_when_nothing_runs(sides: Sides) -> None:
    with Run(sides) as run:
        assert len(SWEEPER._all) == 1
        sides.client.close_write()
        sides.server.close_write()
        run.end()
    assert not SWEEPER._all
    assert SWEEPER._timer is None


def test_relays_side_by_side_do_not_mix(kind: str) -> None:
    """All pumps of a worker share one scratch."""
    everyone = [PUMPS[kind][0]() for _ in range(8)]
    got: dict[int, bytes] = {}
    runs = [Run(sides) for sides in everyone]
    with Group("test") as group:
        for number, sides in enumerate(everyone):
            content = bytes([number]) * (300_000 + number)
            group.spawn(send, sides.client, content)
        come_to_rest()
        for number, sides in enumerate(everyone):
            group.spawn(lambda number=number, sides=sides: got.update({number: read_all(sides.server)}))
            sides.server.close_write()
        for run in runs:
            run.end()
        group.join(30)
    for number, sides in enumerate(everyone):
        assert got[number] == bytes([number]) * (300_000 + number)
        sides.close()


def test_the_target_s_first_bytes_are_timed_by_the_clock_and_once(sides: Sides, held_clock: HeldClock) -> None:
    with Run(sides) as run:
        sides.client.sendall(b"question")
        assert read_exactly(sides.server, 8) == b"question"
        held_clock.advance(3)
        sides.server.sendall(b"answer")
        assert read_exactly(sides.client, 6) == b"answer"
        held_clock.advance(4)
        sides.server.sendall(b"more")
        assert read_exactly(sides.client, 4) == b"more"
        sides.client.close_write()
        sides.server.close_write()
        outcome = run.end()
    assert outcome.first == pytest.approx(3)


def test_a_target_that_says_nothing_has_no_first_bytes(sides: Sides) -> None:
    with Run(sides) as run:
        sides.client.sendall(b"question")
        sides.client.close_write()
        assert read_all(sides.server) == b"question"
        sides.server.close_write()
        assert run.end().first < 0


def test_what_the_target_has_said_before_is_there_at_once(sides: Sides) -> None:
    sides.right = Buffered(sides.right, b"early")
    with Run(sides) as run:
        assert read_exactly(sides.client, 5) == b"early"
        sides.client.close_write()
        sides.server.close_write()
        assert run.end().first == 0
