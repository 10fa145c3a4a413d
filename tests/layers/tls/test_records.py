"""gproxy.layers.tls.records: where records end. What is in them is tried in test_layer."""

from __future__ import annotations

import struct

import pytest

from gproxy.base.errors import ProtocolError
from gproxy.layers.tls.records import MOST, record_end, records_in
from tests.layers.tls.lab import Both, client, server
from tests.support.pipe import pipe


def record(payload, kind=23, size=None):
    return struct.pack(">BHH", kind, 0x0303, payload if size is None else size) + bytes(payload)


def test_only_complete_records_count():
    data = record(10) + record(20)
    for have in range(len(data) + 1):
        wanted = 0 if have < 15 else 15 if have < 40 else 40
        assert records_in(memoryview(data)[:have], 1000) == wanted


def test_only_as_many_as_there_is_room_for():
    data = memoryview(record(10) + record(20))
    assert [records_in(data, most) for most in (9, 10, 29, 30)] == [0, 15, 15, 40]


def test_an_empty_record_is_one():
    assert records_in(memoryview(record(0)), 0) == 5


@pytest.mark.parametrize("head", [b"\x13\x03\x03\0\1", b"\x19\x03\x03\0\1", b"GET /", record(0, size=MOST + 1)])
def test_what_is_no_record(head):
    with pytest.raises(ProtocolError):
        record_end(head, 0)
    with pytest.raises(ProtocolError):
        records_in(memoryview(head), 100_000)


@pytest.mark.usefixtures("no_leaks")
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_pieces_are_records_of_their_own(version):
    with Both(server(), client("any.test", insecure=True, max_version=version), pipe) as both:
        both.near.sendall(b"x")
        assert both.far.recv() == b"x"
        there = both.far._inner
        both.near.sendall_apart([b"one", b"", b"two" * 10])
        sealed, ends = there.recv(), []
        at = 0
        while at < len(sealed):
            at = record_end(sealed, at)
            ends.append(at)
        assert len(ends) == 2
        assert ends[1] - ends[0] == ends[0] + 27
