"""gproxy.route.sniff.rdp; its laws are in laws_sniff.py."""

from __future__ import annotations

from gproxy.route.sniff.rdp import sniff_rdp
from gproxy.wire.cursor import Cursor
from tests.route.sniff.first import RDP


def test_flags_may_be_any() -> None:
    for flags in range(256):
        assert sniff_rdp(Cursor(RDP[:12] + bytes([flags]) + RDP[13:])).protocol == "rdp"
