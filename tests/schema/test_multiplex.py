"""gproxy.schema.multiplex."""

from __future__ import annotations

import pytest

from gproxy.schema.multiplex import InboundMultiplex, OutboundMultiplex


def problems(options):
    return dict(options.check())


def test_what_holds_when_nothing_is_said():
    options = OutboundMultiplex(enabled=True)
    assert options.protocol == "h2mux"
    assert problems(options) == {}
    assert problems(InboundMultiplex()) == {}


@pytest.mark.parametrize(
    ("said", "fewest"),
    [
        ({}, 8),
        ({"min_streams": 3}, 3),
        ({"max_connections": 4}, 0),
        ({"max_connections": 4, "min_streams": 2}, 2),
        ({"max_streams": 4}, 0),
    ],
)
def test_the_fewest_streams_that_a_link_has(said, fewest):
    assert OutboundMultiplex(**said).fewest() == fewest


def test_there_is_one_way_of_choosing_a_link():
    assert problems(OutboundMultiplex(max_connections=2, min_streams=4)) == {}
    assert problems(OutboundMultiplex(max_streams=2)) == {}
    assert list(problems(OutboundMultiplex(max_streams=2, max_connections=2, min_streams=2))) == [
        "max_connections",
        "min_streams",
    ]


@pytest.mark.parametrize(("up", "down", "wrong"), [(1, 1, []), (0, 1, ["up_mbps"]), (1, 0, ["down_mbps"])])
def test_rates(up, down, wrong):
    from gproxy.schema.multiplex import Brutal

    assert list(problems(Brutal(enabled=True, up_mbps=up, down_mbps=down))) == wrong
    assert problems(Brutal(up_mbps=up, down_mbps=down)) == {}
    assert Brutal(up_mbps=1, down_mbps=2).rates() == (125_000, 250_000)
