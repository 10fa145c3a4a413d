"""gproxy.layers.mux.cores."""

from __future__ import annotations

import pytest

from gproxy.layers.mux.cores import NAMES, make_core
from gproxy.wire.mux import Kind


def test_every_protocol_has_a_name_and_a_core() -> None:
    assert set(NAMES.values()) == set(Kind)


@pytest.mark.parametrize("kind", Kind)
def test_the_two_sides_understand_each_other(kind: Kind) -> None:
    client, server = make_core(kind, client=True), make_core(kind, client=False)
    number = client.open()
    [event] = server.feed(client.drain())
    assert (event.kind, event.stream) == ("opened", number)


def test_an_http2_link_is_looked_after() -> None:
    client, server = make_core(Kind.H2MUX, client=True), make_core(Kind.H2MUX, client=False)
    for core in (client, server):
        core.drain()
        at = core.tick(100)
        assert at is not None
        assert 100 < at <= 130
    number = client.open()
    server.feed(make_core(Kind.H2MUX, client=True).drain())
    assert number == 1
