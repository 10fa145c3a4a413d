"""Bans that the kernel knows too: it drops the packets of those who are banned, and nobody here is woken by them.

The sets are the administrator's, who has made them and rules that look into them:

    table inet filter {
        set banned4 { type ipv4_addr; flags interval, timeout; }
        set banned6 { type ipv6_addr; flags interval, timeout; }
        chain input {
            type filter hook input priority filter; policy accept;
            ip saddr @banned4 drop
            ip6 saddr @banned6 drop
        }
    }

Elements have a time-out, so that they end by themselves, also without gproxy.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Final

from gproxy.base.clock import now
from gproxy.base.errors import GproxyError
from gproxy.limit.bans import Ban, Network, shown
from gproxy.rt.child import Child
from gproxy.rt.deadline import deadline
from gproxy.schema.bans import NftablesOptions

_log = logging.getLogger("gproxy.service.bans")

_LIMIT: Final = 10.0  # seconds for one call of nft
_AT_ONCE: Final = 500  # elements of one call: their text has to fit into an argument

# Of what nft complains, so much is told.
_SAID: Final = 300


class _Late(GproxyError):
    """It does not end."""


Run = Callable[[Sequence[str]], str]
"""Runs a program; what it has complained of, empty if all went well. Raises OSError if there is none."""


def run_program(argv: Sequence[str]) -> str:
    """See Run."""
    child = Child(argv, {"PATH": os.environ.get("PATH", os.defpath)})
    try:
        with deadline(_LIMIT, _Late()):
            said = b""
            while data := child.read():
                said = (said + data)[: 4 * _SAID]
            ended = child.wait()
    except _Late:
        child.end(0.0)
        return f"it does not end within {_LIMIT:.0f} s"
    finally:
        child.close()
    return "" if ended == "exit status 0" else said.decode("utf-8", "replace").strip() or ended


class Nftables:
    """The sets of one configuration. At first they are emptied: others who were here before have filled them."""

    def __init__(self, options: NftablesOptions, run: Run = run_program) -> None:
        self._run = run
        self._sets = {
            version: f"{options.family} {options.table} {name}"
            for version, name in ((4, options.set_ipv4), (6, options.set_ipv6))
            if name
        }
        self._known: dict[Network, float] | None = None  # what the kernel has, and until when; None: nobody knows
        self._failing = False

    def show(self, bans: list[Ban]) -> None:
        """See Sets. What goes wrong is told once, and all is done anew the next time."""
        wanted = {ban.network: now() + ban.left for ban in _widest(bans) if ban.network.version in self._sets}
        commands: list[str] = []
        known = self._known
        if known is None:
            known = {}
            commands += [f"flush set {name}" for name in self._sets.values()]
        at = now()
        for network, until in known.items():
            if network not in wanted and until > at:
                commands += self._without(network)
        for network, until in wanted.items():
            if abs(until - known.get(network, 0.0)) > 1.0:
                commands += self._without(network) if known.get(network, 0.0) > at else ()
                commands.append(self._add(network, f" timeout {max(1, round(until - at))}s"))
        self._known = wanted if self._tell(commands) else None

    def _without(self, network: Network) -> list[str]:
        """It may have ended meanwhile, and what is not there can't be deleted: so it is added before."""
        name = self._sets[network.version]
        return [self._add(network), f"delete element {name} {{ {shown(network)} }}"]

    def _add(self, network: Network, more: str = "") -> str:
        return f"add element {self._sets[network.version]} {{ {shown(network)}{more} }}"

    def _tell(self, commands: Iterable[str]) -> bool:
        rest = iter(commands)
        while batch := list(islice(rest, _AT_ONCE)):
            try:
                problem = self._run(["nft", "; ".join(batch)])
            except OSError as error:
                problem = f"nft: {error.strerror}"
            if problem:
                if not self._failing:
                    _log.error("the kernel is not told about bans: %s", " ".join(problem.split())[:_SAID])
                self._failing = True
                return False
        if self._failing:
            _log.info("the kernel is told about bans again")
        self._failing = False
        return True


def _widest(bans: list[Ban]) -> list[Ban]:
    """Without those that lie within another one: intervals of a set don't overlap. The wide ones are few."""
    wide = [ban.network for ban in bans if ban.network.prefixlen < ban.network.max_prefixlen]
    return [ban for ban in bans if not any(_lies_within(ban.network, other) for other in wide)]


def _lies_within(network: Network, other: Network) -> bool:
    return (
        network.version == other.version
        and network.prefixlen > other.prefixlen
        and int(network.network_address) & int(other.netmask) == int(other.network_address)
    )
