"""gproxy.dns.servers.tcp: the server around the pool, which has tests of its own."""

from __future__ import annotations

import pytest

from gproxy.base.address import Address
from gproxy.dns import SERVERS
from gproxy.rt.group import Group
from gproxy.schema.model import read
from gproxy.wire.dns.message import parse
from tests.dns.servers.upstream import ask, expected, framed, reply, served, wiring
from tests.support.pipe import pipe

pytestmark = pytest.mark.usefixtures("no_leaks")


def test_it_asks_on_connections_that_are_nobodys_own():
    row = SERVERS.row("tcp")
    options = read(row.options, {"type": "tcp", "server": "dns.test"}, (), [])
    sessions = []
    with Group("ends") as group:

        def connect(session):
            sessions.append(session)
            near, far = pipe()
            group.spawn(served, far, lambda query: framed(reply(query)))
            return near

        server = row.build(options, wiring(connect))
        for name in ("a.test", "b.test"):
            one = ask(name)
            assert parse(server.exchange(one)) == expected(one)
        server.close()
        group.join(30)
    (session,) = sessions
    assert (session.network, session.target) == ("tcp", Address("dns.test", 53))
    assert server.cacheable
    assert not server.knows("a.test")
