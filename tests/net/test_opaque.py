from __future__ import annotations

import pytest

from gproxy.dns.hijack import HijackedStream
from gproxy.net.link import LinkStream
from gproxy.net.opaque import Opaque
from gproxy.protocol.http.forward import Exchange


def test_it_offers_nothing() -> None:
    stream = Opaque()
    assert (stream.bare(), stream.record(), stream.held()) == (None, None, False)


@pytest.mark.parametrize("kind", [LinkStream, Exchange, HijackedStream])
def test_who_says_so_has_no_dictionary(kind: type) -> None:
    assert issubclass(kind, Opaque)
    assert not kind.__dictoffset__
