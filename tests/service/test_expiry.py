"""gproxy.service.expiry: said in time, and not too often."""

from __future__ import annotations

import logging
import time
from datetime import timedelta

import pytest

from gproxy.base import clock
from gproxy.schema.tls import NamedCertificate
from gproxy.service.expiry import Expiry, Watched
from tests.app.rooms import house_of
from tests.layers.tls.lab import AUTHORITY, DAY, GOOD, make, replace
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def days(held_clock):
    """Lets days pass, from now."""
    began = time.time() - held_clock.now()
    clock.wall.hold(lambda: began + held_clock.now())
    return lambda number: held_clock.advance(number * DAY.total_seconds())


def watched(tmp_path, ends, **options):
    made = make("a.test", issuer=AUTHORITY, ends=ends)
    (tmp_path / "chain.pem").write_text(made.chain)
    return Watched("web", NamedCertificate(certificate_path=str(tmp_path / "chain.pem"), key_path="k", **options))


def said(caplog, each):
    caplog.clear()
    each.look()
    return [record.getMessage() for record in caplog.records]


def test_at_each_stage_and_once_a_day(tmp_path, days, caplog):
    each = watched(tmp_path, 40.5 * DAY)
    assert not said(caplog, each)
    days(10)
    assert not said(caplog, each)
    days(1)  # 29.5 are left
    assert "inbound web: " in said(caplog, each)[0]
    assert not said(caplog, each)
    days(0.9)
    assert not said(caplog, each)
    days(0.2)
    assert "chain.pem ends in 28 days, on " in said(caplog, each)[0]
    days(14.3)  # 14.1
    assert said(caplog, each)
    days(0.2)  # 13.9
    assert "in 14 days" in said(caplog, each)[0]
    days(13)  # 0.9
    assert "in 1 day, on" in said(caplog, each)[0]
    days(1)
    assert "ended on" in said(caplog, each)[0]
    assert caplog.records[0].levelno == logging.ERROR


def test_a_renewed_one_is_good_again(tmp_path, days, caplog):
    each = watched(tmp_path, DAY / 2)
    assert said(caplog, each)
    replace(tmp_path / "chain.pem", make("a.test", issuer=AUTHORITY, ends=90 * DAY).chain)
    assert not said(caplog, each)
    days(61)
    assert said(caplog, each)


def test_what_cannot_be_read_is_what_it_was(tmp_path, days, caplog):
    each = watched(tmp_path, 3 * DAY)
    assert said(caplog, each)
    ends = each.ends
    (tmp_path / "chain.pem").write_text("no PEM")
    days(2)
    assert not said(caplog, each)
    assert each.ends == ends


def test_the_first_of_the_chain_counts(tmp_path, days, caplog):
    lines = (make("a.test", issuer=AUTHORITY, ends=90 * DAY).chain, AUTHORITY.chain)
    assert "the certificate in the options" in said(caplog, Watched("web", NamedCertificate(certificate=lines)))[0]


def test_it_looks_at_the_start(tmp_path):
    each = watched(tmp_path, 90 * DAY)
    expiry = Expiry([each])
    assert expiry.ends() == {}
    expiry.start()
    expiry.start()
    wait_until(expiry.ends, "it looks")
    assert list(expiry.ends()) == [("web", str(tmp_path / "chain.pem"))]
    assert expiry.ends()["web", str(tmp_path / "chain.pem")] - time.time() > 89 * timedelta(days=1).total_seconds()
    expiry.stop()
    expiry.stop()


def test_what_is_looked_after():
    tls = {"enabled": True, "certificate": GOOD.chain, "key": GOOD.key}
    inbound = {"type": "http", "tag": "a", "listen_port": 443}
    assert house_of(inbounds=[inbound]).services.expiry is None
    assert house_of(inbounds=[inbound | {"tls": tls}]).services.expiry is not None
    assert house_of(inbounds=[inbound | {"tls": {"enabled": True, "insecure": True}}]).services.expiry is None
