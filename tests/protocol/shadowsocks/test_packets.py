"""gproxy.protocol.shadowsocks.packets: what becomes of bad packets, and encoded addresses."""

from __future__ import annotations

import logging

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import AuthError, ReplayError
from gproxy.protocol.shadowsocks.packets import Dropped, Heads, too_large
from gproxy.wire.socksaddr import encode_address

log = logging.getLogger("test.dropped")


def test_every_host_is_told_about_once_and_every_packet_counted(caplog, held_clock):
    caplog.set_level(logging.INFO, "test.dropped")
    dropped = Dropped(log)
    for _ in range(3):
        dropped.note("192.0.2.1", AuthError("no key fits"))
    dropped.note("192.0.2.1", ReplayError("again"))
    dropped.note("192.0.2.2", ReplayError("again"))
    dropped.note("192.0.2.2", too_large(65_535))
    assert dropped.counts == {"auth": 3, "replay": 2, "limit": 1}
    assert [record.getMessage() for record in caplog.records] == [
        "a packet of 192.0.2.1 was dropped: auth: no key fits; further ones are only counted",
        "a packet of 192.0.2.2 was dropped: replay: again; further ones are only counted",
    ]


def test_a_flood_from_everywhere_fills_no_log(caplog, held_clock):
    caplog.set_level(logging.INFO, "test.dropped")
    dropped = Dropped(log)
    for number in range(10_000):
        dropped.note(f"10.0.{number >> 8}.{number & 255}", AuthError("no key fits"))
    assert dropped.counts == {"auth": 10_000}
    assert len(caplog.records) == 20
    held_clock.advance(60)
    for number in range(100):
        dropped.note(f"10.1.0.{number}", AuthError("no key fits"))
    assert len(caplog.records) == 40


def test_a_host_that_was_forgotten_is_told_about_anew(caplog, held_clock):
    caplog.set_level(logging.INFO, "test.dropped")
    dropped = Dropped(log)
    dropped.note("192.0.2.1", AuthError())
    for number in range(4096):
        dropped.note(f"10.0.{number >> 8}.{number & 255}", AuthError())
    held_clock.advance(60)
    caplog.clear()
    dropped.note("192.0.2.1", AuthError())
    assert len(caplog.records) == 1


def test_heads_follow_their_addresses():
    one, other = Address.parse("192.0.2.1:53"), Address.parse("example.com:443")
    heads = Heads()
    for address in (one, one, other, one, Address.parse("192.0.2.1:53")):
        assert heads.of(address) == encode_address(address)
    with pytest.raises(ValueError, match=r"range|256"):
        heads.of(Address("x" * 300, 1))
