"""gproxy.route.sniff.stun; its laws are in laws_sniff.py."""

from __future__ import annotations

import pytest

from gproxy.base.errors import ProtocolError
from gproxy.route.sniff.stun import sniff_stun
from gproxy.wire.cursor import Cursor
from tests.route.sniff.first import STUN


def test_a_datagram_that_is_cut_off_is_none() -> None:
    for end in range(len(STUN)):
        with pytest.raises(ProtocolError):
            sniff_stun(Cursor(STUN[:end]))
    assert sniff_stun(Cursor(STUN)).protocol == "stun"


def test_what_it_says_of_its_length_must_be_there() -> None:
    with pytest.raises(ProtocolError):
        sniff_stun(Cursor(STUN[:3] + b"\1" + STUN[4:]))
    assert sniff_stun(Cursor(STUN[:3] + b"\1" + STUN[4:] + b"x")).protocol == "stun"
