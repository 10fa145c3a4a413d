"""gproxy.net.beneath."""

from __future__ import annotations

import socket as consts

import pytest

from gproxy.net.around import Around
from gproxy.net.beneath import socket_beneath
from gproxy.net.buffered import Buffered
from gproxy.net.headed import Headed
from gproxy.net.link import Link
from gproxy.rt.sync import sleep
from gproxy.wire.smux import Smux
from tests.conformance.streams import framed, tcp_pair
from tests.support.pipe import pipe

pytestmark = pytest.mark.usefixtures("no_leaks")


def test_the_socket_is_found_through_every_layer() -> None:
    near, far = tcp_pair()
    around = Headed(framed(Buffered(Around(Buffered(near)))), b"head")
    assert socket_beneath(around) is near
    assert socket_beneath(near) is near
    found = socket_beneath(around)
    assert found is not None
    found.set_option(consts.IPPROTO_TCP, consts.TCP_NODELAY, b"\x01\x00\x00\x00")
    near.close()
    far.close()
    with pytest.raises(OSError, match="closed"):
        found.set_option(consts.IPPROTO_TCP, consts.TCP_NODELAY, b"\x01\x00\x00\x00")


def test_what_has_no_socket_of_its_own() -> None:
    near, far = pipe()
    assert socket_beneath(Buffered(near)) is None
    link = Link(near, Smux(client=True))
    link.start()
    stream = link.open()
    assert socket_beneath(stream) is None
    stream.close()
    link.close()
    sleep(0)
    sleep(0)
    far.close()
