from __future__ import annotations

import pytest

from gproxy.base.address import Address
from gproxy.base.session import DialOptions
from gproxy.engine.dispatcher import RoutingDispatcher
from gproxy.layers.tls.firstcut import FirstCut
from gproxy.layers.tls.fragment import Cutter, cuts
from gproxy.observe.meter import Meter
from gproxy.rt.group import Group
from tests.conformance.streams import tcp_pair
from tests.engine.stand_ins import FakeDecider, FakeOutbound
from tests.route.sniff.first import TLS
from tests.support.pipe import pipe
from tests.support.playbook import new_session

pytestmark = pytest.mark.usefixtures("no_leaks")


class Quiet:
    awaited = False

    def accept(self, bound: Address | None = None) -> None:
        pass

    def reject(self, why: object) -> None:
        raise AssertionError(why)


def read_all(stream):
    pieces = []
    while piece := stream.recv():
        pieces.append(piece)
    return pieces


def test_only_the_first_bytes_are_cut():
    near, far = pipe()
    cut = FirstCut(near, Cutter(packets=True, records=False, delay=0.0))
    assert cut.held()
    assert cut.bare() is None
    cut.sendall(TLS)
    assert not cut.held()
    cut.sendall(TLS)
    cut.close_write()
    pieces = read_all(far)
    assert b"".join(pieces) == TLS + TLS
    near.close()
    far.close()


def test_it_is_bare_again():
    client, near = tcp_pair()
    cut = FirstCut(near, Cutter(packets=False, records=True, delay=0.0))
    assert cut.bare() is None
    cut.sendall(TLS)
    assert cut.bare() == near.bare()
    said = client.recv()
    assert said != TLS
    assert said[:3] == TLS[:3]
    assert len(said) > len(TLS), "each record has a head"
    for stream in (client, near):
        stream.close()


def test_a_client_that_says_nothing_is_not_waited_for_again():
    near, far = pipe()
    cut = FirstCut(near, Cutter(packets=True, records=True, delay=0.0))
    cut.sendall(b"")
    assert not cut.held()
    cut.sendall(b"hello")
    assert far.recv() == b"hello"
    near.close()
    far.close()


@pytest.mark.parametrize("records", [False, True])
def test_a_rule_asks_for_it(records: bool):
    client, stream = pipe()
    upstream, server = pipe()
    session = new_session()
    session.target = Address("site.test", 443)
    session.dial = DialOptions(tls_fragment=not records, tls_record_fragment=records, tls_fragment_fallback_delay=0.0)
    out = FakeOutbound(lambda target, session: upstream)
    dispatcher = RoutingDispatcher(FakeDecider(lambda session: out), Meter())
    assert cuts(TLS)
    with Group("test") as group:
        group.spawn(dispatcher.stream, session, stream, Quiet())
        client.sendall(TLS)
        client.close_write()
        heard = read_all(server)
        server.close_write()
        assert group.join(30)
    assert (b"".join(heard) == TLS) is not records
    for each in (client, stream, upstream, server):
        each.close()
