"""Frames with descriptors, whole and in pieces, from friends and from others."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from gproxy.proc.post import MAX_FDS, Post, PostClosed, make
from gproxy.proc.wait import wait_readable, wait_writable
from tests.support.leaks import descriptors


@dataclass
class Note:
    text: str
    numbers: list[int] = field(default_factory=list)


KINDS: dict[str, type] = {"Note": Note}


@pytest.fixture
def pair() -> Iterator[tuple[Post, Post]]:
    ours, theirs = socket.socketpair()
    one, other = (Post(sock, KINDS, wait_readable, wait_writable) for sock in (ours, theirs))
    yield one, other
    one.close()
    other.close()


def frame(body: object) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return struct.pack("!I", len(data)) + data


def test_there_and_back(pair: tuple[Post, Post]) -> None:
    one, other = pair
    one.send(Note("hällo", [1, 2]))
    other.send(Note(""))
    assert other.receive() == (Note("hällo", [1, 2]), [])
    assert one.receive() == (Note(""), [])


def test_messages_keep_their_order_and_bounds(pair: tuple[Post, Post]) -> None:
    one, other = pair
    for number in range(100):
        one.send(Note(str(number)))
    assert [other.receive()[0].text for _ in range(100)] == [str(number) for number in range(100)]


@pytest.mark.parametrize("count", [1, 2, MAX_FDS])
def test_descriptors_travel(count: int, pair: tuple[Post, Post]) -> None:
    one, other = pair
    read, write = os.pipe()
    before = descriptors()
    one.send(Note("take these"), [write] * count)
    message, got = other.receive()
    assert message == Note("take these")
    assert len(got) == count
    assert not any(os.get_inheritable(fd) for fd in got)
    os.write(got[-1], b"x")
    assert os.read(read, 1) == b"x"
    for fd in got:
        os.close(fd)
    assert not descriptors() - before
    os.close(read)
    os.close(write)


def test_each_message_has_its_own_descriptors(pair: tuple[Post, Post]) -> None:
    one, other = pair
    read, write = os.pipe()
    one.send(Note("none"))
    one.send(Note("one"), [write])
    one.send(Note("none again"))
    counts = []
    for _ in range(3):
        message, got = other.receive()
        counts.append((message.text, len(got)))
        for fd in got:
            os.close(fd)
    assert counts == [("none", 0), ("one", 1), ("none again", 0)]
    os.close(read)
    os.close(write)


def test_a_message_that_comes_in_pieces() -> None:
    ours, theirs = socket.socketpair()
    post = Post(theirs, KINDS, wait_readable, wait_writable)
    data = frame(["Note", {"text": "slow"}]) + frame(["Note", {"text": "next"}])[:3]
    sender = threading.Thread(target=lambda: [ours.sendall(data[i : i + 1]) for i in range(len(data))])
    sender.start()
    assert post.receive() == (Note("slow"), [])
    sender.join()
    ours.close()
    with pytest.raises(PostClosed):
        post.receive()
    post.close()


def test_a_message_that_is_larger_than_the_queue(pair: tuple[Post, Post]) -> None:
    one, other = pair
    text = "x" * (4 << 20)
    sender = threading.Thread(target=one.send, args=(Note(text),))
    sender.start()
    assert other.receive() == (Note(text), [])
    sender.join()


def test_a_reader_that_has_gone(pair: tuple[Post, Post]) -> None:
    one, other = pair
    other.close()
    with pytest.raises(PostClosed):
        one.send(Note("x"))
    with pytest.raises(PostClosed):
        one.receive()


def test_end_says_no_more_but_hears(pair: tuple[Post, Post]) -> None:
    one, other = pair
    one.end()
    with pytest.raises(PostClosed):
        other.receive()
    other.send(Note("last word"))
    assert one.receive()[0] == Note("last word")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0",
        struct.pack("!I", 1 << 31),
        frame(b"no json"),
        frame(b"\xff\xfe"),
        frame(b"[" * 100_000),
        frame(["Nothing", {}]),
        frame(["Note", {"texts": "x"}]),
        frame(["Note", 1]),
        frame(["Note"]),
        frame({"a": 1}),
        frame([[], {}]),
        frame(7),
        frame(["Note", {"text": "cut"}])[:-1],
    ],
)
def test_what_is_no_message_ends_the_connection(data: bytes) -> None:
    ours, theirs = socket.socketpair()
    post = Post(theirs, KINDS, wait_readable, wait_writable)
    read, write = os.pipe()
    before = descriptors()
    if data:
        socket.send_fds(ours, [data], [write])
    ours.shutdown(socket.SHUT_WR)
    with pytest.raises(PostClosed):
        post.receive()
    assert not descriptors() - before, "the descriptors that came with it are closed"
    post.close()
    for fd in (read, write):
        os.close(fd)
    ours.close()


def test_what_only_newer_code_knows_is_left_out() -> None:
    assert make(Note, {"text": "x", "numbers": [1], "of_tomorrow": 5}) == Note("x", [1])
    with pytest.raises(TypeError):
        make(Note, {"of_tomorrow": 5})
    with pytest.raises(TypeError):
        make(Note, ["text"])
