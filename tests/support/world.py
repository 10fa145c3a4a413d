"""The world of one test of real processes: a network of its own, the processes, and what they are to reach."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.netns import own_network
from tests.support.origin import Server, http_origin, https_origin, tcp_echo, udp_echo
from tests.support.procs import Processes
from tests.support.tls import Certificate, make_certificate

__all__ = [
    "certificate", "echo", "lasting", "own_network", "own_world", "processes", "site", "tls_site", "udp_echo_server",
]  # fmt: skip


@pytest.fixture(autouse=True)
def own_world(own_network: None) -> None:
    """Every test that imports this has its own network, without asking."""


@pytest.fixture
def processes(own_network: None, tmp_path: Path) -> Iterator[Processes]:
    """Starts processes, and stops them at the end of the test."""
    processes = Processes(tmp_path)
    yield processes
    processes.stop()


@pytest.fixture(scope="module")
def lasting(own_network: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """Starts processes, and stops them when a module is through that has one network for all of its tests.

    Such a module imports `module_network` of tests.support.netns as `own_network`.
    """
    processes = Processes(tmp_path_factory.mktemp("lasting"))
    yield processes
    processes.stop()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate for localhost and peer.test, and the authority that signed it."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def site(own_network: None) -> Iterator[Server]:
    """The web site of tests.support.origin."""
    with http_origin() as server:
        yield server


@pytest.fixture
def tls_site(own_network: None, certificate: Certificate) -> Iterator[Server]:
    """The same with TLS."""
    with https_origin(certificate.chain, certificate.key) as server:
        yield server


@pytest.fixture
def echo(own_network: None) -> Iterator[Server]:
    """Sends back what it gets over TCP."""
    with tcp_echo() as server:
        yield server


@pytest.fixture
def udp_echo_server(own_network: None) -> Iterator[Server]:
    """Sends back each datagram."""
    with udp_echo() as server:
        yield server
