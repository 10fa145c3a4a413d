"""gproxy.route.sniff.bittorrent; its laws are in laws_sniff.py."""

from __future__ import annotations

import pytest

from gproxy.base.errors import ProtocolError
from gproxy.route.sniff.bittorrent import sniff_handshake, sniff_tracker, sniff_utp
from gproxy.wire.cursor import Cursor
from tests.route.sniff.first import BITTORRENT, TRACKER, UTP, UTP_EXTENDED, WIREGUARD


def test_the_greeting_is_all_that_is_needed() -> None:
    cursor = Cursor(BITTORRENT)
    assert sniff_handshake(cursor).protocol == "bittorrent"
    assert cursor.at == 20


@pytest.mark.parametrize("packet", [UTP, UTP_EXTENDED])
def test_a_head_of_utp_must_be_whole(packet: bytes) -> None:
    for end in range(len(packet) - 1 if packet is UTP_EXTENDED else 20):
        with pytest.raises(ProtocolError):
            sniff_utp(Cursor(packet[:end]))
    assert sniff_utp(Cursor(packet)).protocol == "bittorrent"


def test_extensions_are_counted() -> None:
    assert sniff_utp(Cursor(UTP_EXTENDED[:20] + b"\1\0" * 14 + b"\0\0")).protocol == "bittorrent"
    with pytest.raises(ProtocolError):
        sniff_utp(Cursor(UTP_EXTENDED[:20] + b"\1\0" * 15 + b"\0\0"))


def test_wireguard_is_not_utp() -> None:
    with pytest.raises(ProtocolError):
        sniff_utp(Cursor(WIREGUARD))
    assert sniff_utp(Cursor(WIREGUARD + b"x")).protocol == "bittorrent"


def test_a_tracker_s_first_datagram_must_be_whole() -> None:
    for end in range(len(TRACKER)):
        with pytest.raises(ProtocolError):
            sniff_tracker(Cursor(TRACKER[:end]))
