"""gproxy.dns.servers.tls: DNS over TLS, with a real handshake and sessions that go on."""

from __future__ import annotations

import pytest

from gproxy.base.errors import DialError
from gproxy.dns import SERVERS
from gproxy.layers.tls.client import TlsClient
from gproxy.rt.group import Group
from gproxy.schema.model import read
from gproxy.wire.dns.message import parse
from tests.dns.servers.upstream import ask, expected, framed, reply, served, wiring
from tests.layers.tls.lab import NAME, server, tcp_pair
from tests.support.playbook import new_session

pytestmark = pytest.mark.usefixtures("no_leaks")


def test_questions_within_tls():
    row = SERVERS.row("tls")
    options = read(row.options, {"type": "tls", "server": NAME, "tls": {"insecure": True}}, (), [])
    assert options.tls.enabled
    layer = server()
    handshakes = []
    with Group("ends") as group:

        def serve(stream, session):
            handshakes.append(session)
            served(stream, lambda query: framed(reply(query)))

        def plain(session):
            near, far = tcp_pair()
            group.spawn(layer.accepting(serve), far, new_session())
            return near

        asked = row.build(options, wiring(TlsClient(options.tls, NAME).connecting(plain)))
        for name in ("a.test", "b.test"):
            one = ask(name)
            assert parse(asked.exchange(one)) == expected(one)
        asked.close()
        group.join(30)
    assert len(handshakes) == 1


def test_a_server_that_is_somebody_else():
    row = SERVERS.row("tls")
    options = read(row.options, {"type": "tls", "server": "other.test"}, (), [])
    layer = server()
    with Group("ends") as group:
        ends = []

        def plain(session):
            near, far = tcp_pair()
            ends.append(far)
            group.spawn(layer.accepting(lambda stream, session: None), far, new_session())
            return near

        asked = row.build(options, wiring(TlsClient(options.tls, "other.test").connecting(plain)))
        with pytest.raises(DialError, match=r"DNS server up: the certificate of other\.test") as caught:
            asked.exchange(ask("a.test"))
        assert caught.value.reason == "dns"
        asked.close()
        for each in ends:
            each.close()
        group.join(30)
