"""gproxy.layers.mux.brutal. This kernel need not have the module: what is asked of it is recorded."""

from __future__ import annotations

import socket as consts

import pytest

from gproxy.layers.mux import brutal
from gproxy.layers.mux.brutal import MISSING, kernel_has_brutal, set_rate
from gproxy.net.buffered import Buffered
from gproxy.net.stream import SocketStream
from tests.conformance.streams import tcp_pair
from tests.support.pipe import pipe

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.mark.parametrize(("text", "there"), [("reno cubic brutal\n", True), ("reno cubic brutality\n", False)])
def test_the_kernel_is_asked(tmp_path, monkeypatch, text, there):
    path = tmp_path / "available"
    path.write_text(text)
    monkeypatch.setattr(brutal, "_AVAILABLE", str(path))
    assert kernel_has_brutal() is there


def test_a_kernel_that_does_not_tell_has_none(tmp_path, monkeypatch):
    monkeypatch.setattr(brutal, "_AVAILABLE", str(tmp_path / "nowhere"))
    assert not kernel_has_brutal()


def test_what_is_set(monkeypatch):
    options = []
    monkeypatch.setattr(SocketStream, "set_option", lambda self, *option: options.append(option))
    near, far = tcp_pair()
    assert set_rate(Buffered(near), 1_250_000) == ""
    assert options == [
        (consts.IPPROTO_TCP, consts.TCP_CONGESTION, b"brutal"),
        (consts.IPPROTO_TCP, 23301, (1_250_000).to_bytes(8, "little") + (20).to_bytes(4, "little")),
    ]
    near.close()
    far.close()


def test_a_kernel_without_it_says_so(monkeypatch):
    def refuse(self, *option):
        raise OSError(2, "No such file or directory")

    monkeypatch.setattr(SocketStream, "set_option", refuse)
    near, far = tcp_pair()
    assert set_rate(near, 1) == f"{MISSING} (No such file or directory)"
    near.close()
    far.close()


def test_a_link_within_a_link_has_no_rate():
    near, _ = pipe()
    assert "no connection of its own" in set_rate(near, 1)
