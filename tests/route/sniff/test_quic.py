"""gproxy.route.sniff.quic: a hello in several datagrams, and which program it is of. The laws are in laws_sniff.py."""

from __future__ import annotations

import itertools

import pytest

from gproxy.base.errors import ProtocolError
from gproxy.base.session import Sniffed
from gproxy.route.sniff.quic import BARE, QuicSniffer
from gproxy.wire.cursor import Incomplete
from gproxy.wire.quicinitial import DRAFT_29, MOST_PIECES, VERSION_1, VERSION_2, Head, seal_packet, server_keys
from tests.route.sniff.first import APPLE, HELLO, QUIC
from tests.wire.laws_clienthello import extension, host, message, sized
from tests.wire.laws_quicinitial import ID, crypto, sealed


def fed(*datagrams: bytes) -> Sniffed | None:
    """What is found when all have come; None: more is needed."""
    sniffer = QuicSniffer()
    found = None
    for datagram in datagrams:
        try:
            found = sniffer.feed(datagram)
        except Incomplete:
            assert found is None
    return found


@pytest.mark.parametrize("version", [VERSION_1, VERSION_2, DRAFT_29])
def test_every_version(version: int) -> None:
    assert fed(sealed(crypto(0, HELLO), version)) == Sniffed("quic", "quic.test", "firefox")


def test_pieces_in_any_order_and_datagram() -> None:
    pieces = [sealed(crypto(at, HELLO[at : at + 40]) + bytes(40)) for at in range(0, len(HELLO), 40)]
    assert len(pieces) == 4
    for order in itertools.permutations(pieces):
        assert fed(*order[:-1]) is None
        assert fed(*order) == Sniffed("quic", "quic.test", "unknown")


def test_pieces_may_overlap_and_repeat() -> None:
    first = sealed(crypto(30, HELLO[30:90]) + crypto(0, HELLO[:40]))
    assert fed(first, first, sealed(crypto(50, HELLO[50:]))) == Sniffed("quic", "quic.test", "firefox")


def test_two_packets_in_one_datagram() -> None:
    assert fed(sealed(crypto(0, HELLO[:50])) + sealed(crypto(50, HELLO[50:]))) == (
        Sniffed("quic", "quic.test", "firefox")
    )


def test_other_packets_behind_it() -> None:
    handshake = b"\xe0" + sealed(b"\1\0\0")[1:]
    for rest in (handshake, b"\0" * 50, b"\x40short"):
        assert fed(QUIC + rest) == Sniffed("quic", "quic.test", "unknown")


def test_answers_of_the_client_are_passed_over() -> None:
    acks = b"\2\5\0\1\2\3\4" + b"\3\5\0\0\2\1\2\3"
    assert fed(sealed(acks + crypto(0, HELLO))) == Sniffed("quic", "quic.test", "unknown")


@pytest.mark.parametrize(
    ("payload", "client"),
    [
        (crypto(0, HELLO), "firefox"),
        (crypto(0, APPLE) + bytes(9), "safari"),
        (crypto(0, HELLO) + bytes(9), "unknown"),
        (bytes(9) + crypto(0, HELLO), "quic-go"),
        (bytes(9) + crypto(0, HELLO) + bytes(9), "unknown"),
        (crypto(0, HELLO[:9]) + crypto(9, HELLO[9:]) + bytes(9), "chromium"),
        (b"\1" + crypto(0, HELLO) + bytes(9), "chromium"),
    ],
)
def test_programs_by_their_frames(payload: bytes, client: str) -> None:
    found = fed(sealed(payload))
    assert found is not None
    assert found.client == client


@pytest.mark.parametrize("mark", [extension(10, sized(b"\x11\xec")), extension(0xFF01, b"\0")])
def test_goes_tls_gives_quic_go_away(mark: bytes) -> None:
    hello = message(host(b"go.test"), mark)
    assert fed(sealed(b"\1" + crypto(0, hello) + bytes(9))) == Sniffed("quic", "go.test", "quic-go")


def test_apples_other_tls() -> None:
    body = message(host(b"a.test"), extension(10, sized(b"\0\x1d")), extension(13, sized(b"\4\3")), session=b"")
    hello = body.replace(sized(b"\x13\1\x13\2"), sized(b"\x13\2"))
    hello = hello[:1] + (len(hello) - 4).to_bytes(3, "big") + hello[4:]
    assert fed(sealed(crypto(0, hello) + bytes(9))) == Sniffed("quic", "a.test", "safari")


@pytest.mark.parametrize("said", [b"\2\0\0\1x", b"\1\0\x40\1x", b"\1\0\0\4abcd"])
def test_a_hello_that_is_none(said: bytes) -> None:
    assert fed(sealed(crypto(0, said) + bytes(40))) == BARE


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        QUIC[:-1],
        QUIC[:-1] + b"x",
        sealed(b"\x08\0\0"),
        sealed(crypto(1 << 20, b"x")),
        b"".join([b"\xc0\0\0\0\1\0\0\0\x40\x20", bytes(32)]),
    ],
    ids=["empty", "cut", "changed", "frame", "far", "nameless"],
)
def test_what_is_no_initial_packet(datagram: bytes) -> None:
    with pytest.raises(ProtocolError):
        QuicSniffer().feed(datagram)


def test_a_server_is_no_client() -> None:
    packet = seal_packet(Head(VERSION_1, ID, b"", b"", 0, 0, 0), 1, crypto(0, HELLO), server_keys(VERSION_1, ID))
    with pytest.raises(ProtocolError):
        QuicSniffer().feed(packet)


def test_endless_pieces_are_not_kept() -> None:
    sniffer = QuicSniffer()
    with pytest.raises(ProtocolError):
        for at in range(MOST_PIECES + 2):
            with pytest.raises(Incomplete):
                sniffer.feed(sealed(crypto(8000 + at, b"x")))
