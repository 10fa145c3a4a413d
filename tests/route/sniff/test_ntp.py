"""gproxy.route.sniff.ntp; its laws are in laws_sniff.py."""

from __future__ import annotations

import pytest

from gproxy.base.errors import ProtocolError
from gproxy.route.sniff.ntp import sniff_ntp
from gproxy.wire.cursor import Cursor
from tests.route.sniff.first import NTP


def test_a_datagram_that_is_cut_off_is_none() -> None:
    for end in range(len(NTP)):
        with pytest.raises(ProtocolError):
            sniff_ntp(Cursor(NTP[:end]))
    assert sniff_ntp(Cursor(NTP)).protocol == "ntp"


def test_a_clock_that_is_too_far_away() -> None:
    assert sniff_ntp(Cursor(NTP[:4] + b"\0\x10\0\0" + NTP[8:])).protocol == "ntp"
    for at in (4, 8):
        with pytest.raises(ProtocolError):
            sniff_ntp(Cursor(NTP[:at] + b"\0\x10\0\1" + NTP[at + 4 :]))
