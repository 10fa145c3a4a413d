"""The worker's end of the channel; a whole worker is tried by test_template.py."""

from __future__ import annotations

import os
from _socket import socket, socketpair
from collections.abc import Iterator

import pytest

from gproxy.app.messages import Handover, Prepared, Serve, Stop, Stopped
from gproxy.proc.orders import KINDS
from gproxy.proc.post import Post
from gproxy.proc.wait import wait_readable, wait_writable
from gproxy.proc.worker import TemplateChannel
from gproxy.rt.group import Group
from gproxy.rt.sync import sleep

pytestmark = pytest.mark.usefixtures("no_leaked_greenlets")


@pytest.fixture
def ends() -> Iterator[tuple[TemplateChannel, Post]]:
    ours, theirs = socketpair()
    post = Post(theirs, KINDS, wait_readable, wait_writable)
    yield TemplateChannel(ours, 2.5), post
    post.close()
    ours.close()


def test_orders_and_answers(ends: tuple[TemplateChannel, Post]) -> None:
    channel, template = ends
    template.send(Serve())
    assert channel.receive() == (Serve(), None)
    channel.tell(Prepared())
    assert template.receive() == (Prepared(), [])


def test_waiting_for_an_order_holds_up_nobody(ends: tuple[TemplateChannel, Post]) -> None:
    channel, template = ends
    got: list[object] = []
    with Group("test") as group:
        group.spawn(lambda: got.append(channel.receive()[0]))
        sleep(0.01)
        assert got == []
        template.send(Serve())
        group.join(30)
    assert got == [Serve()]


def test_a_handover_brings_its_descriptor(ends: tuple[TemplateChannel, Post]) -> None:
    channel, template = ends
    one, other = socketpair()
    template.send(Handover(0, 1, [["127.0.0.1", 5]]), [one.fileno()])
    message, fd = channel.receive()
    assert message == Handover(0, 1, [["127.0.0.1", 5]])
    assert fd is not None
    link = socket(fileno=fd)
    link.send(b"x")
    assert other.recv(1) == b"x"
    channel.tell(Handover(0, 1, []), link.fileno())
    _, descriptors = template.receive()
    assert len(descriptors) == 1
    os.close(descriptors[0])
    for sock in (one, other, link):
        sock.close()


def test_without_a_template_it_is_told_to_stop_once(ends: tuple[TemplateChannel, Post]) -> None:
    channel, template = ends
    template.close()
    assert channel.receive() == (Stop(2.5), None)
    with Group("test") as group:
        again = group.spawn(channel.receive)
        sleep(0.02)
        assert not again.dead, "there is nothing more to obey"


def test_one_that_has_gone_needs_no_telling(ends: tuple[TemplateChannel, Post]) -> None:
    channel, template = ends
    template.close()
    channel.tell(Prepared())
    assert not channel.stopped.is_set()
    channel.tell(Stopped(0))
    assert channel.stopped.is_set()
