"""What the transports over an HTTP request have in common; the conversations are in the files beside."""

from __future__ import annotations

import pytest

from gproxy.base.errors import DialError, StreamClosed
from gproxy.base.iface import Stream
from gproxy.layers.transport.httpupgrade import HttpUpgradeClient
from gproxy.layers.transport.upgrade import ask, split_host
from tests.support.pipe import pipe
from tests.support.playbook import new_session


def test_the_host_among_headers() -> None:
    host, fields = split_host({"X-One": ("1", "2"), "hOsT": ("a.test",)})
    assert host == "a.test"
    assert [(name, value) for _, name, value in fields] == [(b"X-One", b"1"), (b"X-One", b"2")]
    assert split_host({})[0] == ""


def test_what_came_behind_an_answer_is_kept() -> None:
    near, far = pipe()
    far.sendall(b"HTTP/1.1 200 OK\r\n\r\nbehind")
    head, ahead = ask(near, b"request")
    assert (head.status, ahead, far.unread) == (200, b"behind", b"request")


def test_a_path_is_asked_for_as_uris_have_it() -> None:
    near, far = pipe()
    far.close()
    with pytest.raises(DialError):
        HttpUpgradeClient("a.test", "/a b/é%2F", {}).connecting(lambda session: near)(new_session())
    assert HttpUpgradeClient("a.test", "/a b/é%2F", {})._target == b"/a%20b/%C3%A9%2F"


def test_a_stream_that_was_not_upgraded_is_closed() -> None:
    near, far = pipe()
    far.close_write()
    with pytest.raises(DialError):
        HttpUpgradeClient("a.test", "/", {}).connecting(lambda session: near)(new_session())
    with pytest.raises(StreamClosed):
        near.sendall(b"more")


def test_a_dial_that_fails_is_passed_on() -> None:
    def via(session: object) -> Stream:
        raise DialError("refused", reason="refused")

    with pytest.raises(DialError, match="refused"):
        HttpUpgradeClient("a.test", "/", {}).connecting(via)(new_session())
