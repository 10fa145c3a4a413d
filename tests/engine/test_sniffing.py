from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

import pytest

from gproxy.base.address import Address
from gproxy.base.defaults import SERVER_FIRST, SERVER_FIRST_KNOWN, SNIFF_DATAGRAMS
from gproxy.base.errors import GproxyError, StreamClosed
from gproxy.base.session import DialOptions, Sniffed
from gproxy.engine.sniffing import FirstBytes, FirstDatagrams, ServerFirst, settle
from gproxy.net.buffered import Buffered
from gproxy.route.action import Sniff
from gproxy.rt.group import Group
from gproxy.rt.sync import sleep
from tests.conformance.streams import tcp_pair
from tests.route.sniff.first import HTTP, NTP, QUIC_FIRST, QUIC_SECOND, SSH, STUN, TLS
from tests.support.clock import HeldClock
from tests.support.pipe import PipeEnd, pipe
from tests.support.playbook import new_session
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")

TARGET = Address(IPv4Address("192.0.2.1"), 443)
LONG, SHORT = Sniff(timeout=10.0), Sniff(timeout=0.05)


class Note:
    """A Reply that counts."""

    def __init__(self, *, awaited: bool = True) -> None:
        self.awaited = awaited
        self.accepted = 0

    def accept(self, bound: Address | None = None) -> None:
        self.accepted += 1

    def reject(self, why: GproxyError) -> None:
        raise AssertionError("nobody is rejected here")


class Case:
    """A stream whose first bytes are sniffed while the test plays the client."""

    def __init__(self, *, awaited: bool = True, ahead: bytes | None = None, chunk: int = 0) -> None:
        self.near: PipeEnd
        self.near, self.far = pipe(chunk=chunk)
        self.reply = Note(awaited=awaited)
        self.known = ServerFirst()
        stream = self.near if ahead is None else Buffered(self.near, ahead)
        self.opening = FirstBytes(stream, self.reply)  # type: ignore[arg-type]
        self.found: Any = None
        self._group = Group("test")

    def sniff(self, action: Sniff = LONG) -> Sniffed | None:
        """Until it is over."""
        return self.opening.sniff(action, TARGET, self.known)

    def sniff_meanwhile(self, action: Sniff = LONG) -> None:
        self._group.spawn(self._sniff, action)
        sleep(0)

    def _sniff(self, action: Sniff) -> None:
        try:
            self.found = self.sniff(action) or "nothing"
        except StreamClosed as error:
            self.found = error

    def wait(self) -> Any:
        wait_until(lambda: self.found is not None, "it does not end")
        return self.found

    def left(self) -> bytes:
        """All that the stream still gives."""
        self.far.close_write()
        pieces = [self.opening.stream.take()]
        while piece := self.opening.stream.recv():
            pieces.append(piece)
        return b"".join(pieces)


@pytest.fixture
def case() -> Iterator[Case]:
    case = Case()
    yield case
    case.near.close()
    case.far.close()


def test_what_was_looked_at_is_given_back(case: Case) -> None:
    case.far.sendall(TLS + b"more")
    assert case.sniff() == Sniffed("tls", "site.test")
    case.far.sendall(b" and more")
    assert case.left() == TLS + b"more and more"


@pytest.mark.parametrize("awaited", [True, False])
def test_a_client_that_waits_for_its_yes_gets_it(awaited: bool) -> None:
    case = Case(awaited=awaited)
    case.sniff_meanwhile()
    assert case.reply.accepted == awaited
    assert case.opening.accepted == awaited
    case.far.sendall(HTTP)
    assert case.wait() == Sniffed("http", "site.test")
    assert case.reply.accepted == awaited


def test_one_that_has_spoken_already_needs_none() -> None:
    case = Case(ahead=HTTP)
    assert case.sniff() == Sniffed("http", "site.test")
    assert not case.opening.accepted
    assert case.left() == HTTP


def test_bytes_may_come_one_by_one() -> None:
    case = Case(chunk=1)
    case.far.sendall(SSH)
    assert case.sniff() == Sniffed("ssh", client="OpenSSH_9.2p1 Debian-2")
    assert case.left() == SSH


def test_the_end_is_an_answer_too(case: Case) -> None:
    case.far.sendall(b"GET /")
    case.far.close_write()
    assert case.sniff() is None
    assert case.left() == b"GET /"


def test_a_client_that_breaks_off(case: Case) -> None:
    case.sniff_meanwhile()
    case.far.abort()
    assert isinstance(case.wait(), StreamClosed)


def test_time_is_over(case: Case) -> None:
    case.far.sendall(TLS[:50])
    assert case.sniff(SHORT) is None
    case.far.sendall(TLS[50:])
    assert case.left() == TLS


def test_what_is_nothing_is_known_at_once_and_not_asked_again(case: Case) -> None:
    case.far.sendall(b"\xff\xff\xff")
    assert case.sniff() is None
    assert case.sniff() is None
    assert case.left() == b"\xff\xff\xff"


def test_other_sniffers_look_at_the_same_bytes(case: Case) -> None:
    case.far.sendall(HTTP)
    assert case.sniff(Sniff(("tls",), 10.0)) is None
    assert case.sniff(Sniff(("ssh", "http"), 10.0)) == Sniffed("http", "site.test")
    assert case.left() == HTTP


def test_sniffers_of_datagrams_have_no_business_here(case: Case) -> None:
    assert case.sniff(Sniff(("quic", "ntp"), 10.0)) is None
    assert not case.opening.accepted


def test_a_stream_that_was_sniffed_is_bare_again() -> None:
    near, far = tcp_pair()
    opening = FirstBytes(near, Note())
    far.sendall(TLS)
    assert opening.sniff(LONG, TARGET, ServerFirst()) is not None
    assert opening.stream.bare() is None
    assert opening.stream.take() == TLS
    assert opening.stream.bare() == near.bare()
    near.close()
    far.close()


def test_a_server_that_speaks_first_is_remembered(case: Case) -> None:
    assert case.sniff(SHORT) is None
    upstream, server = pipe()
    server.sendall(b"220 ready\r\n")
    right = case.opening.watch(upstream)
    assert right.take() == b"220 ready\r\n"
    assert TARGET in case.known
    again = Case()
    again.known = case.known
    assert again.sniff() is None  # at once
    assert not again.opening.accepted
    assert again.opening.watch(upstream) is upstream


def test_a_client_that_speaks_to_it_is_sniffed_all_the_same() -> None:
    case = Case(ahead=HTTP)
    case.known.add(TARGET)
    assert case.sniff() == Sniffed("http", "site.test")


def test_a_slow_client_is_no_server_s_fault(case: Case) -> None:
    assert case.sniff(SHORT) is None
    upstream, server = pipe()
    case.far.sendall(b"late")
    right = case.opening.watch(upstream)
    assert TARGET not in case.known
    assert case.opening.stream.take() == b"late"
    server.sendall(b"answer")
    assert right.recv() == b"answer"


def test_what_is_remembered_is_bounded_and_ends(held_clock: HeldClock) -> None:
    known = ServerFirst()
    for port in range(SERVER_FIRST_KNOWN + 1):
        known.add(Address("a.test", port))
    assert len(known) == SERVER_FIRST_KNOWN
    assert Address("a.test", 0) not in known
    assert Address("a.test", 1) in known
    held_clock.advance(SERVER_FIRST)
    assert Address("a.test", 1) not in known
    assert len(known) == SERVER_FIRST_KNOWN - 1


class Following:
    """The datagrams that follow."""

    def __init__(self, *datagrams: bytes) -> None:
        self.datagrams = list(datagrams)

    def __call__(self, to: Address, seconds: float) -> bytes | None:
        return self.datagrams.pop(0) if self.datagrams else None


def test_datagrams_are_held_while_the_hello_is_not_whole() -> None:
    buffer = bytearray(QUIC_FIRST)
    following = Following(QUIC_SECOND, STUN)

    def next_one(to: Address, seconds: float) -> bytes | None:
        buffer[:] = bytes(len(buffer))  # it is the connection's again
        return following(to, seconds)

    opening = FirstDatagrams(memoryview(buffer), TARGET, next_one)
    found = opening.sniff(LONG, TARGET, ServerFirst())
    assert found is not None
    assert (found.protocol, found.domain) == ("quic", "quic.test")
    assert opening.held == [QUIC_FIRST, QUIC_SECOND]
    assert following.datagrams == [STUN]


def test_a_hello_that_never_comes() -> None:
    following = Following(*[QUIC_FIRST] * 100)
    opening = FirstDatagrams(QUIC_FIRST, TARGET, following)
    assert opening.sniff(LONG, TARGET, ServerFirst()) == Sniffed("quic")
    assert len(opening.held) == SNIFF_DATAGRAMS


@pytest.mark.parametrize("datagram", [NTP, b"anything"])
def test_one_datagram_is_enough_for_others(datagram: bytes) -> None:
    following = Following(STUN)
    opening = FirstDatagrams(datagram, TARGET, following)
    opening.sniff(LONG, TARGET, ServerFirst())
    assert opening.held == [datagram]
    assert opening.sniff(Sniff(("tls",)), TARGET, ServerFirst()) is None
    assert following.datagrams == [STUN]


@pytest.mark.parametrize(
    ("override", "domain", "target", "asked"),
    [
        (True, "site.test", Address("site.test", 443), TARGET),
        (False, "site.test", TARGET, None),
        (True, "", TARGET, None),
    ],
)
def test_the_domain_becomes_the_target_if_the_rule_says_so(
    override: bool, domain: str, target: Address, asked: Address | None
) -> None:
    session = new_session()
    session.target, session.addresses = TARGET, (IPv4Address("192.0.2.9"),)
    settle(Sniff(override=override), session, Sniffed("tls", domain))
    assert session.sniffed == Sniffed("tls", domain)
    assert (session.target, session.asked) == (target, asked)
    assert session.addresses == (() if asked else (IPv4Address("192.0.2.9"),))


def test_what_was_asked_first_stays() -> None:
    session = new_session()
    session.target, session.asked = TARGET, Address("asked.test", 1)
    settle(Sniff(override=True), session, Sniffed("tls", "site.test"))
    assert session.asked == Address("asked.test", 1)
    session.addresses = (IPv4Address("192.0.2.9"),)
    settle(Sniff(override=True), session, Sniffed("tls", "site.test"))
    assert session.addresses  # they are this name's own


def test_a_name_that_was_known_stays_if_none_is_found() -> None:
    session = new_session()
    session.target, session.sniffed = TARGET, Sniffed("", "known.test")
    settle(Sniff(), session, Sniffed("ssh", client="OpenSSH"))
    assert session.sniffed == Sniffed("ssh", "known.test", "OpenSSH")
    settle(Sniff(), session, Sniffed("tls", "site.test"))
    assert session.sniffed == Sniffed("tls", "site.test")


def test_a_target_that_was_sniffed_is_the_client_s_own() -> None:
    """What the configuration allows of the one that it names itself is not allowed of this one."""
    session = new_session()
    session.target, session.dial = Address(IPv4Address("127.0.0.1"), 80), DialOptions(internal=True, udp_connect=True)
    settle(Sniff(override=True), session, Sniffed("http", "localhost"))
    assert session.target == Address("localhost", 80)
    assert session.dial == DialOptions(udp_connect=True)
