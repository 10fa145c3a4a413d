from __future__ import annotations

from gproxy.observe.meter import Meter


def test_clients_come_and_go() -> None:
    meter = Meter()
    meter.begin()
    meter.begin()
    meter.leave()
    assert (meter.opened, meter.active) == (2, 1)


def test_sessions_are_counted_by_their_word() -> None:
    meter = Meter()
    meter.record("ok", 1, 10)
    meter.record("ok", 2, 20)
    meter.record("dial-refused", 0, 0)
    assert (meter.up, meter.down) == (3, 30)
    assert meter.statuses == {"ok": 2, "dial-refused": 1}
    assert (meter.opened, meter.active) == (0, 0)


def test_meters_do_not_share() -> None:
    Meter().record("ok", 1, 1)
    assert Meter().statuses == {}
