"""gproxy.route.sniff.dtls; its laws are in laws_sniff.py."""

from __future__ import annotations

import pytest

from gproxy.base.errors import ProtocolError
from gproxy.route.sniff.dtls import sniff_dtls
from gproxy.wire.cursor import Cursor
from tests.route.sniff.first import DTLS


def test_a_datagram_that_is_cut_off_is_none() -> None:
    for end in range(len(DTLS) - 1):
        with pytest.raises(ProtocolError):
            sniff_dtls(Cursor(DTLS[:end]))
    assert sniff_dtls(Cursor(DTLS)).protocol == "dtls"


@pytest.mark.parametrize(("kind", "known"), [(20, True), (23, True), (25, True), (24, False), (19, False)])
def test_kinds_of_records(kind: int, known: bool) -> None:
    record = bytes([kind]) + b"\xfe\xfd" + DTLS[3:]
    if known:
        assert sniff_dtls(Cursor(record)).protocol == "dtls"
    else:
        with pytest.raises(ProtocolError):
            sniff_dtls(Cursor(record))
