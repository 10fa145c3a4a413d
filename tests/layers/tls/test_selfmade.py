"""gproxy.layers.tls.selfmade: for inbounds that have no certificate."""

from __future__ import annotations

import pytest

from gproxy.base.errors import DialError
from gproxy.layers.tls.layer import TlsServer
from gproxy.schema.tls import TlsInbound
from tests.layers.tls.lab import Both, client


def test_it_is_made_for_the_name_and_believed_by_nobody(caplog):
    tls = TlsServer(TlsInbound(enabled=True, insecure=True, server_name="own.test"))
    assert "no client can tell this inbound" in caplog.text
    with Both(tls, client("own.test", insecure=True)) as both:
        both.near.sendall(b"x")
        assert both.far.recv() == b"x"
    with pytest.raises(DialError, match="signed by itself"), Both(tls, client("own.test")):
        pass


def test_without_a_name_it_is_for_localhost():
    tls = TlsServer(TlsInbound(enabled=True, insecure=True))
    with Both(tls, client("localhost", insecure=True)) as both:
        both.near.sendall(b"x")
        assert both.far.recv() == b"x"
