"""Each interop test has a network namespace of its own, its processes, and origins that see who comes."""

from __future__ import annotations

from tests.support.world import (
    certificate,
    echo,
    lasting,
    own_network,
    own_world,
    processes,
    site,
    tls_site,
    udp_echo_server,
)

__all__ = [
    "certificate", "echo", "lasting", "own_network", "own_world", "processes", "site", "tls_site", "udp_echo_server",
]  # fmt: skip
