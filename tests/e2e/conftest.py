"""Each end-to-end test has a network namespace of its own, its processes, and origins that see who comes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.e2e.proxy import Launcher, Proxy
from tests.support.procs import Processes
from tests.support.world import certificate, echo, own_network, own_world, processes, site, tls_site, udp_echo_server

__all__ = ["certificate", "echo", "own_network", "own_world", "processes", "site", "tls_site", "udp_echo_server"]


@pytest.fixture
def launch(processes: Processes) -> Iterator[Launcher]:
    """Starts proxies. At the end of the test they must run still, with every socket closed and nothing failed."""
    launcher = Launcher(processes)
    yield launcher
    launcher.settle()


@pytest.fixture
def proxy(launch: Launcher) -> Proxy:
    """A mixed inbound with the way out behind it."""
    return launch()


@pytest.fixture
def stack(launch: Launcher) -> Iterator[ExitStack]:
    """What is entered here is left at the end of the test, before the proxies are looked at."""
    with ExitStack() as stack:
        yield stack
