"""gproxy.protocol.direct.options."""

from __future__ import annotations

import pytest

from gproxy.protocol.direct.options import DirectInboundOptions, DirectOutboundOptions
from gproxy.schema.model import read
from gproxy.schema.problem import Problem


def problems(model, **tree):
    found: list[Problem] = []
    read(model, {"type": "direct", **tree}, (), found)
    return [(problem.path, problem.message) for problem in found]


@pytest.mark.parametrize("half", [{}, {"override_address": "192.0.2.1"}, {"override_port": 53}])
def test_a_unix_socket_needs_a_whole_target(half):
    [(path, message)] = problems(DirectInboundOptions, listen="unix:/run/x", **half)
    assert path == ("listen",)
    assert "override_address" in message


def test_a_whole_target_and_a_half_one():
    assert not problems(DirectInboundOptions, listen="unix:/run/x", override_address="192.0.2.1", override_port=53)
    assert not problems(DirectInboundOptions, listen="127.0.0.1", listen_port=1, override_port=53)


@pytest.mark.parametrize("version", [0, 1, 2])
def test_versions_of_the_proxy_protocol(version):
    assert not problems(DirectOutboundOptions, proxy_protocol=version)


def test_no_other_version():
    assert problems(DirectOutboundOptions, proxy_protocol=3)
