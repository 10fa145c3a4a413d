"""gproxy.layers.tls.bindings: what the rest of the room counts on."""

from __future__ import annotations

import os
import resource

import pytest
from OpenSSL import SSL

from gproxy.layers.tls.bindings import Pipes, expect_name, new_connection, set_groups
from tests.layers.tls.lab import Both, client, connection_of, server
from tests.layers.tls.test_layer import read


def test_an_idle_session_keeps_no_more_than_before_it_was_busy():
    """A memory BIO keeps what it has grown to: hundreds of KiB for each session, if it is let."""
    pairs = [Both(server(), client()) for _ in range(20)]
    payload = os.urandom(200_000)
    for both in pairs:
        both.__enter__()
    try:
        before = _resident()
        for both in pairs:
            both.near._inner.sendall(_sealed(both.near, payload[:60_000]))
            assert read(both.far, 60_000) == payload[:60_000]
        grown = _resident() - before
    finally:
        for both in pairs:
            both.__exit__(None, None, None)
    assert grown / len(pairs) < 40_000, grown


def _sealed(stream, payload):
    target = bytearray(stream._sealer.room(len(payload)))
    with memoryview(target) as view:
        return bytes(view[: stream._sealer.seal_into(payload, view)])


def _resident():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def test_groups_that_there_are_not():
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    set_groups(context, "X25519:P-256")
    with pytest.raises(ValueError, match="NOT-A-GROUP"):
        set_groups(context, "NOT-A-GROUP")


def test_a_name_that_no_certificate_has():
    connection = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    with pytest.raises(ValueError, match="not a name"):
        expect_name(connection, "a\0b.test")


def test_only_those_whose_context_calls_back_are_kept_to_be_found():
    quiet, calling = SSL.Context(SSL.TLS_SERVER_METHOD), SSL.Context(SSL.TLS_SERVER_METHOD)
    calling.set_alpn_select_callback(lambda _connection, wanted: wanted[0])
    kept = SSL.Connection._reverse_mapping
    before = len(kept)
    first, second = new_connection(quiet), new_connection(calling)
    assert first._ssl not in kept
    assert kept[second._ssl] is second
    assert len(kept) == before + 1


@pytest.mark.parametrize("size", [0, 1, 16_000, 16_384, 100_000])
def test_all_records_come_out_however_many_there_are(size):
    payload = os.urandom(size)
    with Both(server(), client()) as both:
        pipes = Pipes(connection_of(both.near))
        if payload:
            pipes.write(payload)
        both.near._inner.sendall(pipes.drain())
        assert pipes.drain() == b""
        assert read(both.far, size) == payload


def test_what_a_handshake_leaves_is_fed_again_alone_or_with_more_behind_it():
    for more in (b"", b"later"):
        with Both(server(), client()) as both:
            sealed = _sealed(both.near, b"first")
            behind = _sealed(both.near, more) if more else b""
            pipes = Pipes(connection_of(both.far))
            pipes.feed(sealed)
            assert pipes.left() == len(sealed)
            pipes.feed(sealed + behind)
            target = bytearray(100)
            assert target[: pipes.read_into(memoryview(target))] == b"first" + more
            assert pipes.left() == 0


def test_what_a_handshake_leaves_is_not_lost_by_much_that_is_written_first():
    """To give back what that has taken, both sides are exchanged for new ones."""
    with Both(server(), client()) as both:
        sealed = _sealed(both.near, b"first")
        pipes = Pipes(connection_of(both.far))
        pipes.feed(sealed)
        assert pipes.left() == len(sealed)
        pipes.write(bytes(100_000))
        pipes.drain()
        pipes.shrink()
        pipes.feed(sealed)
        target = bytearray(100)
        assert target[: pipes.read_into(memoryview(target))] == b"first"
